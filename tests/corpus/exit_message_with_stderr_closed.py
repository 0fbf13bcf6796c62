import sys

sys.stderr.close()
sys.exit("to nobody")
