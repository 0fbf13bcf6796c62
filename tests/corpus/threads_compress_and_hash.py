import hashlib
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

data = bytes(range(256)) * 4096
with ThreadPoolExecutor(8) as pool:
    digests = list(pool.map(lambda n: hashlib.sha256(data[n:]).hexdigest()[:4], range(8)))
    sizes = list(pool.map(lambda n: len(zlib.decompress(zlib.compress(data[n:], 1))), range(8)))
print(digests, sizes[0], threading.active_count())
