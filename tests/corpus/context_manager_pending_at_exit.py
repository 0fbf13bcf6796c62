import contextlib


@contextlib.contextmanager
def resource(name):
    print("open", name)
    try:
        yield name
    finally:
        print("close", name)


manager = resource("a")
print(manager.__enter__())
with resource("b") as b, contextlib.ExitStack() as stack:
    stack.callback(print, "callback")
    stack.enter_context(resource("c"))
