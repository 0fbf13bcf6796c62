import argparse

parser = argparse.ArgumentParser(description="Something.")
parser.add_argument("name")
parser.parse_args(["--help"])
