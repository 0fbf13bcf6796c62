import numpy as np

rng = np.random.default_rng(7)
np.random.seed(7)
print(rng.integers(0, 100, 5), rng.normal(size=3), np.random.rand(3), np.random.permutation(5))
print(np.arange(12).reshape(3, 4)[1:, ::2], np.linspace(0, 1, 5), np.array([1, 2], dtype="int8").dtype)
print(repr(np.array([[1.5, np.nan], [np.inf, -0.0]])), np.float32(0.1), np.array(["a", "ü"]), np.datetime64("2024-02-29"))
with np.printoptions(precision=3, suppress=True):
    print(np.array([1e-10, 1234.56789]))
