print(__file__.split("/")[-1], __doc__)
