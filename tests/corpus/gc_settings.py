import gc

print(gc.isenabled(), gc.get_debug(), gc.callbacks)
gc.disable()


class Node:
    def __del__(self):
        print("del although disabled")


node = Node()
node.me = node
