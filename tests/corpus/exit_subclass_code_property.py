class Quit(SystemExit):
    @property
    def code(self):
        return 11


raise Quit(1)
