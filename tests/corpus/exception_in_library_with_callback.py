import re

re.sub("a", lambda match: 1 / 0, "banana")
