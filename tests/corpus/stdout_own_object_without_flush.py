import sys


class Writer:
    def write(self, text):
        sys.__stdout__.write(text[::-1])


sys.stdout = Writer()
print("backwards")
