import tempfile
from pathlib import Path

kept = tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False)
kept.write("kept")
kept.close()
print(Path(kept.name).read_text(), Path(kept.name).parent == Path(tempfile.gettempdir()))
handle, name = tempfile.mkstemp(dir=".")
with open(handle, "w") as file:
    print(file.write("abc"))
print(Path(name).stat().st_mode & 0o777 == 0o600)
