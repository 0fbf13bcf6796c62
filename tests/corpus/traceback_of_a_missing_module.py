import traceback

try:
    import no_such_module_anywhere
except ImportError:
    traceback.print_exc()

try:
    from json import no_such_name
except ImportError as error:
    print(error.name, error)


def load():
    try:
        import no_such_package.part as part
    except ModuleNotFoundError as error:
        print(repr(error), error.name)
        part = None
    return part


print(load())
for name in ("math", "no_such_module_either"):
    try:
        print(__import__(name).__name__)
    except ImportError as error:
        print("without", error.name)
