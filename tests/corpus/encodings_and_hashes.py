import base64
import binascii
import hashlib
import struct
import zlib

data = "Grüße 🐍".encode()
print(base64.b64encode(data), base64.b32encode(b"x"), base64.b85encode(data), binascii.hexlify(data), binascii.crc32(data))
print(hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest(), hashlib.blake2b(data, digest_size=8).hexdigest())
print(zlib.decompress(zlib.compress(data * 100)) == data * 100, zlib.adler32(data), struct.pack(">IhQ4s", 1, -2, 3, b"ab"), struct.unpack("<d", struct.pack("<d", 1.5)))
print("ü".encode("utf-16"), "ü".encode("cp1252"), b"\xfc".decode("latin-1"), "straße".encode("punycode"), "bücher.example".encode("idna"))
print(hashlib.new("sha1", b"").hexdigest(), "x".encode("rot13") if False else "no")
base64.b64decode("not base64!", validate=True)
