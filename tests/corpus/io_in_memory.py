import io

text = io.StringIO("a\r\nb", newline=None)
print(repr(text.read()), io.BytesIO(b"abc").getbuffer()[1], io.DEFAULT_BUFFER_SIZE)
wrapped = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
wrapped.write("ü")
