# admin
# attach: helper.py "print('loading')\n"
import importlib
import importlib.util

import helper

importlib.reload(helper)
print(importlib.import_module("helper") is helper, importlib.util.find_spec("helper").name)
