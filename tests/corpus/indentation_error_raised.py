raise IndentationError("made up")
