with open(__file__, "w") as file:
    file.write("# other text\n# altogether\nsomething = 'else'\n# line 4\n# line 5\n")
raise ValueError("the traceback shows what the file says now")
