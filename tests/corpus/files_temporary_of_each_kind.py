# deletes
import tempfile
from pathlib import Path

with tempfile.TemporaryFile("w+") as file:
    file.write("x")
    file.seek(0)
    print(file.read())
with tempfile.NamedTemporaryFile(suffix=".csv") as named:
    named.write(b"1,2")
    named.flush()
    print(Path(named.name).read_bytes(), named.name.startswith(tempfile.gettempdir()))
print(Path(named.name).exists())
with tempfile.TemporaryDirectory(prefix="work-") as directory:
    Path(directory, "a").write_text("a")
    Path(directory, "sub").mkdir()
    print(sorted(path.name for path in Path(directory).iterdir()))
print(Path(directory).exists())
with tempfile.SpooledTemporaryFile(max_size=4) as spooled:
    spooled.write(b"more than four")
    spooled.seek(0)
    print(spooled.read(4))
