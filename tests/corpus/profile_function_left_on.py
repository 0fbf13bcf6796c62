# admin
import sys


def profile(frame, event, argument):
    if event in ("call", "return"):
        print(event, frame.f_code.co_name)


def work():
    return 1


sys.setprofile(profile)
work()
