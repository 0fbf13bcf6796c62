# stdin: "real\n"
import io
import sys

sys.stdin = io.StringIO("fake one\nfake two\n")
print(input(), input("p "))
sys.stdin = sys.__stdin__
print(input())
