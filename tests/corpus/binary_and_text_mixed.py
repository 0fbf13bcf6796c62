import sys

print("text", flush=True)
sys.stdout.buffer.write(b"\xff\xfe binary\n")
sys.stdout.buffer.flush()
print("text again")
sys.stdout.flush()
sys.stdout.buffer.raw.write(b"raw\n")
