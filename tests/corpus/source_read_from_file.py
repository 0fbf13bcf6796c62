# Grüße
with open(__file__, encoding="utf-8") as file:
    text = file.read()
print(len(text), text.splitlines()[0], text.count("\n"))
