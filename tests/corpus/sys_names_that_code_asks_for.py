import sys


def whoami():
    return sys._getframe(0).f_code.co_name


def caller():
    return sys._getframe(1).f_code.co_name


print(len(sys.path) > 0, isinstance(sys.prefix, str), "argv" in vars(sys), whoami(), caller(), sys.gettrace())
print(sys.getprofile(), sys.is_finalizing(), sys.__name__, type(sys).__name__, sys.modules["sys"] is sys)
print(sorted(name for name in ("executable", "exec_prefix", "base_prefix", "meta_path", "path_hooks") if hasattr(sys, name)))
try:
    sys._getframe(1)
except ValueError as error:
    print(error)
