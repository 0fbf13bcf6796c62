# admin
import subprocess

subprocess.run(["no-such-program-here"])
