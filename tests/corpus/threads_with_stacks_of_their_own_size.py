import threading

print(threading.stack_size(1 << 20), threading.stack_size())
depths = []


def deep(n):
    return n if n == 0 else deep(n - 1)


thread = threading.Thread(target=lambda: depths.append(deep(500)))
thread.start()
thread.join()
print(depths)
