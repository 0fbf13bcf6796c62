def function():
print("x")
