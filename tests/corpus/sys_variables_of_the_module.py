import sys

sys.mine = 1
print(sys.mine, vars(sys)["mine"], "mine" in dir(sys))
del sys.mine
print(hasattr(sys, "mine"))
try:
    sys.no_such_name
except AttributeError as error:
    print(error)
sys.ps1 = ">"
print(sys.ps1, sys.intern("a" + "b") is sys.intern("ab"))
