import sys

print("lone \ud800 and ü", file=sys.stderr)
sys.stderr.write("🐍\udcff\n")
raise ValueError("message with \ud800")
