# stdin: "ü\n"
import sys

sys.stdout.write("pending ")
sys.stderr.write("err pending ")
print(ascii(input("größe? ")))
