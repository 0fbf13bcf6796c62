# files: data.npy data.txt data.npz
import numpy as np

data = np.arange(6, dtype="<f8").reshape(2, 3)
np.save("data.npy", data)
np.savetxt("data.txt", data, fmt="%.2f", delimiter=",")
print(np.load("data.npy").sum(), np.loadtxt("data.txt", delimiter=",").shape, np.genfromtxt("data.txt", delimiter=",")[1, 1])
