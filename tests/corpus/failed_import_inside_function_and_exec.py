def load():
    exec("from collections.abc import Nothing")


try:
    load()
except ImportError as error:
    print(error)
import json.nothing
