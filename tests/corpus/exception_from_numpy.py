import numpy as np

print(np.zeros((2, 3)) @ np.zeros((2, 3)))
