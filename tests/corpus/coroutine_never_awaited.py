async def work():
    return 1


work()
print("end")
