# deletes
# files: new.txt
from pathlib import Path

Path("old.txt").write_text("first")
print(Path("old.txt").rename("new.txt"))
Path("other.txt").write_text("second")
Path("other.txt").replace("new.txt")
print(Path("new.txt").read_text(), Path("old.txt").exists(), Path("other.txt").exists())
try:
    Path("missing").rename("x")
except FileNotFoundError as error:
    print(error.filename, error.filename2, error.strerror)
