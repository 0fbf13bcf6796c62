class Mute(Exception):
    def __str__(self):
        return 5


raise Mute()
