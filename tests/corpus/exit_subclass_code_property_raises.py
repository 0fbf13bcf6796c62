class Quit(SystemExit):
    @property
    def code(self):
        raise ValueError("no code")


raise Quit(3)
