import sys

sys.stdout.reconfigure(errors="replace", newline="\r\n")
print("lone \ud800 surrogate")
sys.stdout.reconfigure(encoding="ascii", errors="xmlcharrefreplace")
print("grün")
