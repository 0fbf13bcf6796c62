import sys

print("12345")
print(sys.stdout.tell())
sys.stdout.seek(0)
sys.stdout.write("ab")
