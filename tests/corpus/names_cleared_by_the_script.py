class Noisy:
    def __del__(self, show=print):
        show("del")


noisy = Noisy()
globals().clear()
