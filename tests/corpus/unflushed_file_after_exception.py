# files: out.txt
def fail():
    file = open("out.txt", "w")
    file.write("before the error")
    raise ValueError("after the write")


fail()
