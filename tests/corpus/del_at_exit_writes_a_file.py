# files: del.txt
class Saver:
    def __init__(self):
        self.file = open("del.txt", "w")

    def __del__(self):
        self.file.write("saved")
        self.file.close()


saver = Saver()
