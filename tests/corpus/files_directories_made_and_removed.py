# deletes
import shutil
from pathlib import Path

base = Path("tree")
(base / "a" / "b").mkdir(parents=True)
(base / "a" / "b" / "c.txt").write_text("c")
(base / "d").mkdir(exist_ok=True)
print(sorted(str(path) for path in base.rglob("*")))
try:
    base.rmdir()
except OSError as error:
    print(type(error).__name__, error.strerror)
shutil.rmtree(base)
print(base.exists(), sorted(path.name for path in Path(".").iterdir() if path.suffix != ".py"))
