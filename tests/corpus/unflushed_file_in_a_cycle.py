# files: out.txt
class Holder:
    pass


holder = Holder()
holder.file = open("out.txt", "w")
holder.me = holder
holder.file.write("in a cycle")
del holder
