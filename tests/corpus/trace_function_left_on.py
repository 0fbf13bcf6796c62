import sys


def trace(frame, event, argument):
    print(event, frame.f_code.co_name)
    return trace


def work():
    return 1


sys.settrace(trace)
work()
