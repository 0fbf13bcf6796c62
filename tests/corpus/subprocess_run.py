# admin
import subprocess
import sys

done = subprocess.run([sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], capture_output=True, text=True)
print(done.returncode, repr(done.stdout), repr(done.stderr))
print(subprocess.check_output([sys.executable, "-c", "print(input()[::-1])"], input=b"hello\n"))
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "print('inherited'); raise SystemExit(2)"], check=True)
