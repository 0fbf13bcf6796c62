def inner():
    raise ValueError("x")


def outer():
    inner()


try:
    outer()
except ValueError as error:
    entry, found = error.__traceback__, []
    while entry is not None:
        found.append((entry.tb_frame.f_code.co_name, entry.tb_lineno))
        entry = entry.tb_next
    print(found)
    frame = error.__traceback__.tb_frame
    print(frame.f_back, frame.f_globals is globals())
