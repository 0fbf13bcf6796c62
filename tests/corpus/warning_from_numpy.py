import numpy as np

print(np.array([1.0, 0.0]) / np.array([0.0, 0.0]))
print(np.sqrt(-1.0), np.mean([]))
