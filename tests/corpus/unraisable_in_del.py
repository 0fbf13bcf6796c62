class Falls:
    def __del__(self):
        raise ValueError("in del")


Falls()
print("goes on")
