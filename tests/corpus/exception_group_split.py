# python: 3.11
exec('''
try:
    raise ExceptionGroup("eg", [ValueError(1), TypeError("t"), KeyError("k")])
except* ValueError as group:
    print("values", group.exceptions)
except* TypeError as group:
    print("types", group.exceptions)
''')
