# files: out.txt
def log():
    with open("out.txt", "w") as file:
        while True:
            file.write((yield) + "\n")


logger = log()
next(logger)
logger.send("one")
logger.send("two")
