# files: out.txt
def make():
    file = open("out.txt", "w")

    def write(text, also=file):
        file.write(text)

    return write


write = make()
write("in a closure")
