# admin
# files: sub/deep/out.txt sub/list.txt
import os
import pathlib
import shutil

os.makedirs("sub/deep")
pathlib.Path("sub/deep/out.txt").write_text("nested")
print(sorted(os.listdir(".")), os.path.exists("sub/deep"), os.path.getsize("sub/deep/out.txt"))
with open("sub/list.txt", "w") as file:
    for root, directories, names in os.walk("sub"):
        print(root, sorted(directories), sorted(names), file=file)
shutil.copyfile("sub/deep/out.txt", "copy.txt")
os.rename("copy.txt", "moved.txt")
os.remove("moved.txt")
print(sorted(path.name for path in pathlib.Path(".").glob("*")), oct(os.stat("sub").st_mode))
