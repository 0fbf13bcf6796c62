from pathlib import Path

open("a", "x").close()
for attempt in (lambda: open("a", "x"), lambda: Path("a").mkdir(), lambda: open("no/b", "w"), lambda: Path("a/b").touch()):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__, error.errno)
