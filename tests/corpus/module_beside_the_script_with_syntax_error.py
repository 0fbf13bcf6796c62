# attach: helper.py "x = = 1\n"
try:
    import helper
except SyntaxError as error:
    print(error.msg, error.lineno)
