import sys

sys.stderr = 5
sys.exit("to whom")
