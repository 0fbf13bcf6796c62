import sys

print(sys.stdout.write("ü\n"), sys.stdout.buffer.write(b""))
sys.stdout.write(1)
