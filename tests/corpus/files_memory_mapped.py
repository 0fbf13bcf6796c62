# admin
# files: data.bin
import mmap

with open("data.bin", "w+b") as file:
    file.write(bytes(8192))
    file.flush()
    with mmap.mmap(file.fileno(), 0) as view:
        view[4096:4100] = b"abcd"
        view.flush()
        print(view.find(b"cd"))
    file.seek(4096)
    print(file.read(4))
