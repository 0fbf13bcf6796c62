# admin
import os
import signal

try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except KeyboardInterrupt:
    print("interrupted")
signal.raise_signal(signal.SIGINT)
