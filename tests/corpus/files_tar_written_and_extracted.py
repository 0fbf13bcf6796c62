# metadata
import io
import tarfile
from pathlib import Path

with tarfile.open("a.tar.gz", "w:gz") as archive:
    info = tarfile.TarInfo("d/x.txt")
    info.size, info.mode, info.mtime = 3, 0o600, 1600000000
    archive.addfile(info, io.BytesIO(b"abc"))
    link = tarfile.TarInfo("d/link")
    link.type, link.linkname = tarfile.SYMTYPE, "x.txt"
    archive.addfile(link)
with tarfile.open("a.tar.gz") as archive:
    archive.extractall("out")
    print(archive.getnames())
status = Path("out/d/x.txt").stat()
print(oct(status.st_mode & 0o777), int(status.st_mtime), Path("out/d/link").read_text())
