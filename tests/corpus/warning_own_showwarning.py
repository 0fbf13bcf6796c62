import warnings

warnings.showwarning = lambda message, category, filename, lineno, file=None, line=None: print("shown", message, category.__name__, filename.rsplit("/")[-1], lineno)
warnings.warn("to stdout")
