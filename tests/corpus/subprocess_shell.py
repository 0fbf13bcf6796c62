# admin
import subprocess

print(subprocess.run("echo one; echo two >&2; exit 4", shell=True, capture_output=True, text=True))
print(subprocess.getoutput("printf '%s' $((6*7))"))
