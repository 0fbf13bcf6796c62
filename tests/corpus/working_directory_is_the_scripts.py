# admin
import os

print(os.getcwd() == os.path.dirname(os.path.abspath(__file__)), os.listdir())
