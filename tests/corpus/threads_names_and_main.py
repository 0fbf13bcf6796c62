# admin
import threading

print(threading.current_thread().name, threading.main_thread().ident == threading.get_ident(), threading.enumerate()[0].daemon)
local = threading.local()
local.x = 1
timer = threading.Timer(0.01, print, ["timer"])
timer.start()
