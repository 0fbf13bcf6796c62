# admin
import os

print({name: value for name, value in sorted(os.environ.items()) if name not in ("PYTHONUTF8", "LC_CTYPE")})
os.environ["ADDED"] = "ü"
print(os.getenv("ADDED"), os.system("test \"$ADDED\" = ü"), os.environ.get("MISSING"))
