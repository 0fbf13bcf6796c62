import sys

print("out")
sys.exit("Fehler: größer als ß 🐍 \ud800")
