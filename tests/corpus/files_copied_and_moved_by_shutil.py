# deletes
# files: moved/a.txt
import shutil
from pathlib import Path

Path("from").mkdir()
Path("from/a.txt").write_text("a" * 1000)
print(sorted(path.name for path in Path(shutil.copytree("from", "to")).iterdir()))
print(shutil.move("from", "moved"), Path("from").exists())
print(Path(shutil.make_archive("all", "zip", "moved")).name)
shutil.unpack_archive("all.zip", "unpacked")
print(Path("unpacked/a.txt").stat().st_size, shutil.disk_usage(".").total > 0)
