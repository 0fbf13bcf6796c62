# attach: data.txt "one\ntwo\n"
import pathlib

path = pathlib.Path("data.txt")
print(path.read_text().splitlines(), path.exists(), path.stat().st_size, path.suffix, path.stem)
print(sorted(p.name for p in pathlib.Path(".").iterdir()), [p.name for p in pathlib.Path(".").glob("*.txt")])
print(pathlib.PurePosixPath("a/../b/./c.tar.gz").suffixes, pathlib.PurePath("a") / "b", path.resolve().name)
print(pathlib.Path("made.txt").write_text("ä"), pathlib.Path("made.txt").read_bytes())
print(pathlib.Path("a/b").relative_to("a"), path.is_dir(), pathlib.Path().absolute() == pathlib.Path.cwd())
pathlib.Path("missing.txt").read_text()
