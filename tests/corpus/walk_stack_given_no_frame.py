import traceback


def inner():
    return traceback.StackSummary.extract(traceback.walk_stack(None))


def outer():
    return inner()


print([entry.name for entry in outer()])
