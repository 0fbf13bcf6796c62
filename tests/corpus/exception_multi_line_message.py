raise ValueError("line one\nline two\n\tline three\x00\x1b[0m end")
