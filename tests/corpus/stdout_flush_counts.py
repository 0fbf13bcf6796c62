import sys


class Counter:
    count = 0

    def write(self, text):
        sys.__stdout__.write(text)

    def flush(self):
        Counter.count += 1
        sys.__stdout__.write("flush %d\n" % Counter.count)


sys.stdout = Counter()
raise ValueError("with an exception")
