text = 'a b cde'
print(len(text.splitlines()))
print(ascii(text))
1 / 0
