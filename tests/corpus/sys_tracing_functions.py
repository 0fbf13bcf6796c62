import sys

seen = []


def trace(frame, event, argument):
    seen.append((event, frame.f_code.co_name, frame.f_lineno))
    return trace


def work():
    return len("abc")


sys.settrace(trace)
work()
sys.settrace(None)
print(seen)
seen.clear()
sys.setprofile(lambda frame, event, argument: seen.append((event, frame.f_code.co_name)))
work()
sys.setprofile(None)
print(seen)
