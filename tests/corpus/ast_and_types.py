import abc
import ast
import types

print(ast.dump(ast.parse("x = 1 + y")), ast.literal_eval("{'a': [1, (2, None)]}"))
print(types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1}), isinstance(len, types.BuiltinFunctionType), type(types.new_class("N")).__name__)


class Base(abc.ABC):
    @abc.abstractmethod
    def method(self): ...


Base()
