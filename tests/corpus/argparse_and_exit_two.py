import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--number", type=int, default=3)
print(parser.parse_args([]))
parser.parse_args(["--number", "x"])
