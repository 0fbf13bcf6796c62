# stdin: "one\ntwo\nthree\nfour\nfive\n"
import sys

print(repr(sys.stdin.readline()), repr(input()), repr(sys.stdin.readline(2)), sys.stdin.readlines())
