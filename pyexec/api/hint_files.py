"""Rules of `hints` about files: those that aren't there, and what a run can't do with its own.

Each looks at a `Scene` and returns its advice, or None where it doesn't apply; `hint_rules` has their order.
"""

from __future__ import annotations

import itertools
import re

from pyexec.api.hint_scene import Scene

# What begins the messages with which `child.on_disk` refuses what the kernel's filter would.
_REFUSED = "is not possible on this server"
_DELETES = ("rmtree(", ".unlink(", ".rmdir(", "os.remove(", "removedirs(")
# Where a script may write, or tries to, and what it writes isn't looked for.
_ELSEWHERE = ("/tmp/", "../")
_ELSEWHERE_QUOTED = r"""(?:["'])((?:/tmp/|\.\./)[\w./-]{0,200}\w)(?:["'])"""
_WRITES = re.compile(
    rf"""\bopen\({_ELSEWHERE_QUOTED}, ?(?:mode=)?["'][wax]"""
    rf"""|\bPath\({_ELSEWHERE_QUOTED}\)\.write_"""
    rf"""|\.(?:save|savefig|output|tofile|to_csv)\({_ELSEWHERE_QUOTED}"""
)
_MOST_WRITES = 20  # that are looked at
_LONGEST_NAME = 60
_ENDS_A_FILE = ("remove(", "unlink(", "rename(", "replace(", "rmdir(", "rmtree(")


def missing(scene: Scene) -> str | None:
    """Advise on a file that isn't there."""
    path = scene.path
    if scene.kind != "FileNotFoundError" or scene.errno != 2 or not path:
        return None
    # A program that isn't there, or a file that is in the way: nothing that could be sent.
    if scene.file.rpartition("/")[2] == "subprocess.py" or any(call in scene.line for call in _ENDS_A_FILE):
        return None
    if path.startswith("/"):
        return (
            "There is no such file where the script runs, which sees none of your machine's files: send files in"
            f" {scene.names.attachments}, open them by name alone, and write to the current directory."
        )
    directory = path.rpartition("/")[0]
    if directory and "mkdir(" in scene.line:
        return f"There is no directory '{directory}' to make it in: make both, with mkdir(parents=True)."
    if directory and "mkdir" not in scene.job.code and "makedirs" not in scene.job.code:
        return (
            f"There is no directory '{directory}' in the script's directory: make it first"
            f" (pathlib.Path('{directory}').mkdir()), or attach the file and open it by name alone."
        )
    attached = ", ".join(attachment.filename for attachment in scene.job.attachments)
    if not attached:
        return f"Nothing was attached: a file that the script is to read has to be sent in {scene.names.attachments}."
    return f"The script's directory has what was attached ({attached}) and what the script itself wrote."


def read_only(scene: Scene) -> str | None:
    """Advise on a place that is closed."""
    if scene.kind not in ("PermissionError", "OSError") or scene.errno not in (13, 30) or not scene.path[:1] == "/":
        return None
    return (
        "Read from and write to the current directory, by relative paths such as 'result.txt': other places are closed."
    )


def no_deletion(scene: Scene) -> str | None:
    """Advise a public script that may delete and replace nothing, since its directory is on a disk."""
    if scene.kind != "PermissionError" or scene.errno != 1 or _REFUSED not in scene.message:
        return None
    if "link " in scene.message.partition(_REFUSED)[0]:
        return "Copy the file instead (shutil.copy), or link it symbolically (symlink_to)."
    return "Leave the file where it is, since it goes with the run, or write under a new name."


def vacuum_into(scene: Scene) -> str | None:
    """Advise on SQLite's VACUUM INTO, whose journal can't be done without."""
    if scene.deletes or scene.job.admin or scene.kind != "OperationalError" or scene.message != "disk I/O error":
        return None
    if "vacuum into" not in " ".join(scene.job.code.lower().split()):
        return None
    return (
        "VACUUM INTO deletes a journal, which scripts can't on this server: copy the database with"
        " connection.backup(sqlite3.connect('copy.db'))."
    )


def not_deleted(scene: Scene) -> str | None:
    """Advise on a name that is still taken, since a script took no notice of what `no_deletion` is about."""
    if scene.deletes or scene.job.admin or scene.kind != "FileExistsError" or scene.errno != 17:
        return None
    if not any(call in scene.job.code for call in _DELETES):
        return None
    return (
        f"'{scene.path}' is still there: scripts can't delete anything on this server, whose --work-dir is on a disk."
        " Use what is there (mkdir(exist_ok=True)), or a new name."
    )


def no_font(scene: Scene) -> str | None:
    """Advise on a font that isn't there: runs have none but those that libraries bring along."""
    attach = "or attach the font's file"
    if scene.kind == "OSError" and scene.message == "cannot open resource" and scene.file.endswith("PIL/ImageFont.py"):
        return f"There is no such font here: use ImageFont.load_default(size), {attach}."
    of_reportlab = scene.kind == "TTFError" and scene.message.startswith("Can't open file")
    of_fpdf = scene.kind == "FileNotFoundError" and scene.message.startswith("TTF Font file not found")
    if of_reportlab or of_fpdf:
        return f"There is no such font here: use one that PDF has without a file, such as 'Helvetica', {attach}."
    return None


def empty_database(scene: Scene) -> str | None:
    """Advise on a database that SQLite has just made, where the script means one that it was not sent."""
    if scene.kind != "OperationalError" or not scene.message.startswith("no such table: ") or scene.job.attachments:
        return None
    code = scene.job.code.lower()
    if "connect(" not in code or any(word in code for word in ("create", ":memory:", "to_sql")):
        return None
    return (
        "The database is new and empty, since nothing was attached: send it in"
        f" {scene.names.attachments}, or create its tables first."
    )


def written_elsewhere(scene: Scene) -> str | None:
    """Advise on a file that is to come back, and that the script writes where nothing comes back from."""
    for file in scene.outcome.files:
        if file.content is None and file.size_bytes is None and _names_elsewhere(scene.job.code, file.name):
            return _by_name_alone(file.name)
    return None


def nothing_comes_back(scene: Scene) -> str | None:
    """Advise on a file that a script writes elsewhere without ever naming it again, and that is all it writes."""
    if scene.outcome.written or scene.outcome.files or not any(place in scene.job.code for place in _ELSEWHERE):
        return None
    for found in itertools.islice(_WRITES.finditer(scene.job.code), _MOST_WRITES):
        path = found.group(1) or found.group(2) or found.group(3)
        if scene.job.code.count(path) == 1:
            return _by_name_alone(path.rpartition("/")[2])
    return None


def _names_elsewhere(code: str, name: str) -> bool:
    return any(f"{quote}{place}{name}{quote}" in code for quote in "'\"" for place in _ELSEWHERE)


def _by_name_alone(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        return "Only files of the current directory come back: write them there, by name alone."
    return f"Only files of the current directory come back: write '{name}', by name alone."
