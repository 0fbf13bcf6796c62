import array
import bisect
import collections
import functools
import heapq
import itertools
import operator

print(collections.Counter("mississippi").most_common(2), collections.deque([1, 2, 3], maxlen=2), collections.ChainMap({"a": 1}, {"b": 2})["b"])
print(collections.defaultdict(list, a=[1]), collections.OrderedDict([("z", 1), ("a", 2)]))
print(list(itertools.permutations("abc", 2))[:3], list(itertools.accumulate([1, 2, 3], operator.mul)), [(key, list(group)) for key, group in itertools.groupby("aabbc")])
print(functools.reduce(operator.add, range(10)), functools.partial(int, base=2)("101"), heapq.nsmallest(2, [5, 1, 4]), bisect.bisect([1, 3, 5], 4))
print(array.array("i", [1, 2, 3]), sorted({"b": 1, "a": 2}.items(), key=operator.itemgetter(1), reverse=True))


@functools.singledispatch
def show(value):
    return "other"


@show.register(int)
def _(value):
    return "int"


print(show(1), show("x"), functools.cmp_to_key(lambda a, b: b - a)(1) < functools.cmp_to_key(lambda a, b: b - a)(0))
