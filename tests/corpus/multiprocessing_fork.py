# admin
import multiprocessing


def work(number):
    return number * 2


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=lambda: send.send(work(21)))
    process.start()
    print(receive.recv())
    process.join()
    print(process.exitcode)
