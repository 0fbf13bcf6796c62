# tree
# admin
from multiprocessing import Process, shared_memory


def write(name):
    other = shared_memory.SharedMemory(name)
    other.buf[:3] = b"abc"
    other.close()


if __name__ == "__main__":
    memory = shared_memory.SharedMemory(create=True, size=4096)
    process = Process(target=write, args=(memory.name,))
    process.start()
    process.join()
    print(bytes(memory.buf[:4]))
    memory.close()
    memory.unlink()
