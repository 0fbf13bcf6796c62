import json


def helper(text):
    return json.dumps({"helped": text})


class Noisy:
    def __del__(self):
        print(helper("x"))


noisy = Noisy()
_private = Noisy()
print("end")
