import random

random.seed(42)
print(random.random(), random.randint(1, 100), random.choice("abc"), random.sample(range(100), 5), random.gauss(0, 1))
items = list(range(10))
random.shuffle(items)
own = random.Random("text seed")
print(items, own.getrandbits(64), random.getstate()[0])
