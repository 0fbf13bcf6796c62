# admin
import sqlite3

database = sqlite3.connect("data.db")
database.execute("create table t (a integer primary key, b text)")
database.execute("insert into t (b) values ('kept')")
database.commit()
print(sqlite3.connect("data.db").execute("select * from t").fetchone())
database.execute("select * from missing")
