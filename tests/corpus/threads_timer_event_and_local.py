import threading

event, local, found = threading.Event(), threading.local(), []
threading.Timer(0.01, event.set).start()
print(event.wait(20))


def own(value):
    local.value = value
    found.append(local.value)


threads = [threading.Thread(target=own, args=(n,), name=f"own-{n}") for n in range(3)]
for thread in threads:
    thread.start()
    thread.join()
print(found, hasattr(local, "value"), [thread.name for thread in threads])
