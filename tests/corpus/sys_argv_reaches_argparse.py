import argparse
import sys

sys.argv = ["tool", "--times", "3"]
parser = argparse.ArgumentParser()
parser.add_argument("--times", type=int, default=1)
print("ab" * parser.parse_args().times, parser.prog)
sys.argv[1:] = ["--times", "x"]
parser.parse_args()
