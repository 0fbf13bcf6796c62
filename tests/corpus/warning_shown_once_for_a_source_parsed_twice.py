import warnings

if 1 is 1:
    print("\\d \d")
warnings.warn("after")
