# python: 3.11
import contextlib
from pathlib import Path

Path("sub").mkdir()
with contextlib.chdir("sub"):
    Path("inner.txt").write_text("inner")
    print(Path.cwd().name)
print(Path("sub/inner.txt").read_text())
