file = open("out.txt", "w")
file.write("flushed all the same")


class Last:
    def __del__(self):
        print("last")


last = Last()
raise KeyboardInterrupt("stop")
