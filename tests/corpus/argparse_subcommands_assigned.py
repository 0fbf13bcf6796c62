import argparse
import sys

sys.argv = ["git", "add", "--force", "a.txt", "b.txt"]
parser = argparse.ArgumentParser(prog="git")
commands = parser.add_subparsers(dest="command", required=True)
add = commands.add_parser("add")
add.add_argument("--force", action="store_true")
add.add_argument("files", nargs="+")
print(parser.parse_args())
parser.parse_args(["remove"])
