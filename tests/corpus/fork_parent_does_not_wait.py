# admin
import os
import time

if os.fork() == 0:
    time.sleep(20)
    print("never seen")
else:
    print("parent done")
