# admin
import signal

for number in sorted(signal.valid_signals()):
    if number not in (32, 33):
        handler = signal.getsignal(number)
        print(int(number), getattr(handler, "name", getattr(handler, "__name__", handler)))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
