# stdin: b"caf\xe9 \xff\n"
import sys

text = sys.stdin.read()
print(ascii(text))
sys.stdout.write(text)
