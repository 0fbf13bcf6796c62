# files: absent.txt
print("writes nothing")
