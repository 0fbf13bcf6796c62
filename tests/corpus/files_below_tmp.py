# tree
from pathlib import Path

Path("/tmp/of-this-run-only.txt").write_text("cached")
print(Path("/tmp/of-this-run-only.txt").read_text())
Path("/tmp/of-this-run-only.txt").unlink()
