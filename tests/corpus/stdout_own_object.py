import sys


class Upper:
    def write(self, text):
        sys.__stdout__.write(text.upper())

    def flush(self):
        sys.__stdout__.write("<flush>\n")


sys.stdout = Upper()
print("shouted")
