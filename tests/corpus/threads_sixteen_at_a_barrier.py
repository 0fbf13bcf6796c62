import threading

gate, seen = threading.Barrier(17), []


def work(number):
    seen.append(sum(range(number * 1000)))
    gate.wait(20)


threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
gate.wait(20)
for thread in threads:
    thread.join()
print(len(seen), threading.active_count())
