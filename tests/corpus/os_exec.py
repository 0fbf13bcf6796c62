# admin
import os
import sys

print("before", flush=True)
os.execv(sys.executable, [sys.executable, "-c", "import sys; print('another program'); sys.exit(6)"])
