# admin
import subprocess
import sys

process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
try:
    process.wait(0.05)
except subprocess.TimeoutExpired:
    print("slow")
process.kill()
print(process.wait())
process = subprocess.Popen(["sleep", "30"])
process.terminate()
print(process.wait())
