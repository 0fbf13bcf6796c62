# deletes
import shelve

with shelve.open("store") as store:
    store["a"] = {"n": 1}
    store["b"] = [1, 2]
with shelve.open("store", writeback=True) as store:
    store["b"].append(3)
with shelve.open("store", "r") as store:
    print(sorted(store), store["b"])
