import warnings

warnings.warn("old way", DeprecationWarning)
warnings.warn("plain")
warnings.warn("pending", PendingDeprecationWarning)
warnings.warn("bytes", ResourceWarning)
for _ in range(3):
    warnings.warn("once a place", RuntimeWarning)
