# tree
import sqlite3
from pathlib import Path

for mode in ("delete", "truncate", "persist", "memory", "wal"):
    connection = sqlite3.connect(mode + ".db")
    print(connection.execute("pragma journal_mode=" + mode).fetchone()[0])
    with connection:
        connection.execute("create table t(a integer, b text)")
        connection.executemany("insert into t values (?, ?)", [(n, "x" * 50) for n in range(500)])
    try:
        with connection:
            connection.execute("delete from t")
            raise KeyError("rolled back")
    except KeyError as error:
        print(error, connection.execute("select count(*), sum(a) from t").fetchone())
    connection.execute("vacuum")
    connection.close()
print(sorted(path.name for path in Path(".").glob("*.db")))
