# files: result.txt
with open("result.txt", "w") as file:
    file.write("Hello, World!")
print("Process finished.")
