import random
import secrets
import uuid

print(len({random.random() for _ in range(100)}), len(secrets.token_hex(8)), uuid.uuid4().version, uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), uuid.UUID(int=5))
