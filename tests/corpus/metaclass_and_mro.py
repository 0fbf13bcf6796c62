class Meta(type):
    def __new__(meta, name, bases, namespace):
        print("making", name, [key for key in namespace if not key.startswith("__")])
        return super().__new__(meta, name, bases, namespace)


class A(metaclass=Meta):
    x = 1


class B(A):
    def method(self):
        return super().x


class C(A):
    x = 2


class D(B, C):
    pass


print([cls.__name__ for cls in D.__mro__], D().method(), D.__module__, D.__qualname__)
