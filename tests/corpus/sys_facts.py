import sys

print(sys.version_info[:2], sys.maxsize, sys.byteorder, sys.platform, sys.implementation.name, sys.getdefaultencoding())
print(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.float_info.max, sys.maxunicode, sys.hash_info.width)
print(sys.flags.optimize, sys.flags.dont_write_bytecode, sys.dont_write_bytecode, sys.warnoptions)
print(sys.exc_info(), hasattr(sys, "last_value"), sys.getrefcount(object()) < 5, sys.intern("x"))
