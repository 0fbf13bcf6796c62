# deletes
import sqlite3

first = sqlite3.connect("a.db")
first.execute("create table t(a)")
first.commit()
first.execute("insert into t values (1)")
second = sqlite3.connect("a.db", timeout=0.05)
try:
    second.execute("insert into t values (2)")
except sqlite3.OperationalError as error:
    print(error)
first.commit()
second.execute("insert into t values (2)")
second.commit()
print(first.execute("select a from t order by a").fetchall())
