def load():
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("could not load") from error


load()
