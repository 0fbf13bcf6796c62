"""A code object rebuilt with a library's names imports `os` and makes no link.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import json
import types

POLICY = True


def attack(target):
    names = {}
    exec("def imports():\n    import os\n    return os\n", names)
    code = names["imports"].__code__.replace(co_filename="<frozen os>")
    os = types.FunctionType(code, vars(json))()
    os.symlink("/etc", "%s/link-%d" % (target["open_directory"], os.getpid()))
