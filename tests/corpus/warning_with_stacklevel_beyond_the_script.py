import warnings

warnings.warn("whose line is it", stacklevel=2)
warnings.warn("far away", stacklevel=5)
