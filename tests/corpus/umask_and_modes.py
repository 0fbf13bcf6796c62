# admin
import os

open("plain.txt", "w").close()
os.mkdir("d")
print(oct(os.stat("plain.txt").st_mode), oct(os.stat("d").st_mode), oct(os.umask(0)))
os.symlink("plain.txt", "link")
print(os.path.islink("link"), os.readlink("link"))
