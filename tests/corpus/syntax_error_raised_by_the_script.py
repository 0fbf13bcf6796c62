raise SyntaxError("made up", ("other.txt", 3, 5, "some text here\n"))
