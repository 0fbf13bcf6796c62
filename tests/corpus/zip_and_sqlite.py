import sqlite3
import zipfile

with sqlite3.connect(":memory:") as database:
    database.execute("create table t (a, b)")
    database.executemany("insert into t values (?, ?)", [(1, "x"), (2, "ü")])
    print(database.execute("select * from t order by a desc").fetchall())
with zipfile.ZipFile("a.zip", "w") as archive:
    archive.writestr("inside.txt", "content")
print(zipfile.ZipFile("a.zip").read("inside.txt"))
