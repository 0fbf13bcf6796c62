def function():
