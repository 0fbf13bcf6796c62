# files: out/dir/a.txt
import zipfile
from pathlib import Path

with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("dir/a.txt", "a" * 100)
    archive.writestr("b.txt", "b")
with zipfile.ZipFile("a.zip", "a") as archive:
    archive.writestr("c.txt", "c")
with zipfile.ZipFile("a.zip") as archive:
    archive.extractall("out")
    print(archive.namelist(), archive.testzip())
print(sorted(str(path) for path in Path("out").rglob("*.txt")))
