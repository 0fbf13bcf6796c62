import sys


def work():
    try:
        sys.exit(3)
    finally:
        print("finally")


work()
