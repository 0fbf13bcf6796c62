import atexit, builtins, cmd, codecs, contextvars, errno, gc, getopt, hmac, http, keyword, linecache, optparse, plistlib
import quopri, reprlib, shlex, stat, symtable, token, tokenize, tracemalloc, wave, dis, hashlib, io
import xml.etree.ElementTree as ET
from http import HTTPStatus
from urllib.parse import urlparse, quote
from email.message import EmailMessage

atexit.register(print, "bye")
print(shlex.split("a 'b c'"), HTTPStatus(404).phrase, errno.ENOENT, reprlib.repr("x" * 99)[:4], gc.isenabled())
print(hmac.new(b"key", b"message", hashlib.sha256).hexdigest()[:16], ET.fromstring("<a><b/></a>").find("b").tag)
print(urlparse("http://a/b?c=d").query, quote("ä b"), builtins.len is len, keyword.iskeyword("for"))
message = EmailMessage()
message["Subject"] = "Hi"
message.set_content("text")
print(message.as_string())
print([t.string for t in tokenize.generate_tokens(io.StringIO("a = 1").readline) if t.string], codecs.encode("ab", "rot13"))
dis.dis("x", file=io.StringIO())
print(plistlib.loads(plistlib.dumps({"a": 1})), quopri.encodestring(b"\xe4"), stat.filemode(0o100644))
