# admin
import os

os.mkdir("elsewhere")
os.chdir("elsewhere")
print(os.path.basename(os.getcwd()))
raise ValueError("the source line is still found")
