# deletes
from pathlib import Path

path = Path("once.txt")
path.touch()
path.unlink()
print(path.exists())
path.unlink(missing_ok=True)
path.unlink()
