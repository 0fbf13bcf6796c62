try:
    print("bad \ud800")
except UnicodeEncodeError as error:
    print(error, error.object == "bad \ud800\n" or error.object == "bad \ud800")
