import difflib
import html
import pprint
import re
import string
import textwrap
import unicodedata

print("\n".join(difflib.unified_diff("a b c".split(), "a x c".split(), lineterm="", fromfile="f", tofile="t")), difflib.get_close_matches("appel", ["ape", "apple"]))
print(textwrap.fill("The quick brown fox jumps over the lazy dog " * 3, 30), textwrap.dedent("  a\n   b"), sep="\n")
print(re.sub(r"(?P<w>\w+)", lambda match: match["w"].title(), "hello wörld"), re.split(r"[,;]\s*", "a, b;c"), re.match("(a)|b", "b").groups())
print(string.Template("$who likes $$what").substitute(who="tim"), string.ascii_lowercase, html.escape("<a & 'b'>"), html.unescape("&eacute;&#128013;"))
print(unicodedata.name("é"), unicodedata.normalize("NFD", "é").encode(), unicodedata.category("A"))
pprint.pprint({"key%d" % number: list(range(number * 3)) for number in range(8)}, width=50)
re.compile("(unclosed")
