class Falls:
    def __del__(self):
        raise ValueError("too late")


falls = Falls()
