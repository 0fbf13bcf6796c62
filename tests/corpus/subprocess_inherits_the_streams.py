# admin
# stdin: "line for the program\n"
import os
import subprocess

print("before", flush=True)
subprocess.call(["cat"])
os.system("echo from system; echo to stderr >&2")
print("after")
