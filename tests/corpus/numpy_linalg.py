import numpy as np

matrix = np.array([[4.0, 2.0], [1.0, 3.0]])
values, vectors = np.linalg.eig(matrix)
print(np.round(np.sort(values), 10), np.round(np.linalg.inv(matrix), 6), np.linalg.det(matrix).round(6), np.linalg.norm(matrix).round(6))
print(np.round(np.linalg.solve(matrix, [1, 2]), 6), np.linalg.matrix_rank(matrix), np.fft.fft([1, 0, 0, 0]), np.polyfit([0, 1, 2], [1, 3, 5], 1).round(6))
np.linalg.inv(np.zeros((2, 2)))
