import numpy as np

mapped = np.memmap("big.dat", dtype="float32", mode="w+", shape=(100, 3))
mapped[:] = np.arange(3)
mapped.flush()
print(np.memmap("big.dat", dtype="float32", mode="r", shape=(100, 3)).sum())
np.save("one.npy", np.arange(6, dtype="<i4"))
print(np.load("one.npy", mmap_mode="r").sum())
np.savez_compressed("both.npz", a=np.ones(3), b=np.eye(2))
with np.load("both.npz") as loaded:
    print(loaded["a"].sum(), loaded["b"].sum())
np.savetxt("text.csv", np.arange(4).reshape(2, 2), fmt="%d", delimiter=",")
print(np.loadtxt("text.csv", delimiter=",").tolist())
