# admin
import os

OTHER = ("PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE", "HOME", "TMPDIR")
print({name: value for name, value in sorted(os.environ.items()) if name not in OTHER})
print(os.environ["HOME"] == os.path.expanduser("~"), os.path.isdir(os.environ["TMPDIR"]))
os.environ["ADDED"] = "ü"
print(os.getenv("ADDED"), os.system("test \"$ADDED\" = ü"), os.environ.get("MISSING"))
