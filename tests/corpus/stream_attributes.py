# stdin: "x"
import sys

for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.name, stream.mode, stream.encoding, stream.errors, stream.newlines, stream.fileno(), stream.isatty())
    print(stream.readable(), stream.writable(), stream.seekable(), stream.closed, type(stream).__name__)
    print(type(stream.buffer).__name__, stream.buffer.mode, stream.buffer.name, stream.buffer.raw.closefd, repr(stream.buffer.raw.mode))
    print(repr(stream).replace("UTF-8", "utf-8"))
