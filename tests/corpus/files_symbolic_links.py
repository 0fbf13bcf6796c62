# deletes
from pathlib import Path

Path("real.txt").write_text("real")
Path("link.txt").symlink_to("real.txt")
print(Path("link.txt").is_symlink(), Path("link.txt").read_text(), Path("link.txt").resolve().name)
Path("away").symlink_to("nowhere")
print(Path("away").exists(), Path("away").is_symlink())
Path("link.txt").unlink()
print(Path("real.txt").exists())
