# metadata
import shutil
import stat
from pathlib import Path

path = Path("a.txt")
path.write_text("a")
path.chmod(0o640)
print(stat.filemode(path.stat().st_mode))
copy = Path(shutil.copy2(path, "b.txt"))
print(stat.filemode(copy.stat().st_mode), copy.stat().st_mtime_ns == path.stat().st_mtime_ns)
shutil.copyfile(path, "c.txt")
shutil.copymode(path, "c.txt")
print(stat.filemode(Path("c.txt").stat().st_mode))
