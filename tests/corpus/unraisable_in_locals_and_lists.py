class Falls:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        raise RuntimeError(self.name)


def function():
    local = Falls("local")
    return 1


function()
items = [Falls("in a list")]
items.clear()
print("end")
