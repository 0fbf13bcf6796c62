# attach: helper.py "\"\"\"Helps.\"\"\"\nimport sys\ndef fail():\n    raise ValueError('in helper')\nprint('imported', __name__)\n"
import helper

print(helper.__doc__, helper.__file__.rsplit("/", 1)[1])
try:
    helper.fail()
except ValueError as error:
    print(error, error.__traceback__.tb_next.tb_lineno)
