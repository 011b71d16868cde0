"""Reads a pickle as data: its instructions become dicts, lists, numbers and tensor descriptions.

Nothing that the file names is imported or called. A name that is no container and no tensor becomes an
``Opaque``, is carried along, and is listed for the report. What the instructions of a pickle mean is
defined by the standard library's ``pickletools``.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evalkit.checkpoints.data import Global, Opaque, Storage, TensorData
from evalkit.checkpoints.hostile import check_harmless
from evalkit.errors import CheckpointError

MAX_INSTRUCTIONS = 20_000_000
MAX_OPAQUE_NAMES = 10_000

_STORAGE_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}

_MARK = object()


@dataclass(slots=True)
class PickleReader:
    """Interprets one or more pickles that stand behind each other in a buffer.

    Attributes:
        opaque: The names of everything that was not read, in order of appearance.
        storages: The element type of every storage that was mentioned, by key.
    """

    opaque: dict[str, None] = field(default_factory=dict)
    storages: dict[str, str] = field(default_factory=dict)

    def read(self, stream: Any) -> Any:
        """Interpret the pickle at the stream's position and leave the stream behind its end.

        Raises:
            CheckpointError: The pickle calls something hostile, or is too long.
            Exception: Whatever a damaged pickle provokes; the caller maps it.
        """
        return _Machine(self).run(stream)

    def note(self, name: str) -> Opaque:
        """Record and return an object that is not read."""
        if len(self.opaque) < MAX_OPAQUE_NAMES:
            self.opaque[name] = None
        return Opaque(name)


class _Machine:
    """The stack machine of one pickle."""

    def __init__(self, reader: PickleReader) -> None:
        self.reader = reader
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: Any) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_INSTRUCTIONS:
                raise CheckpointError(f"more than {MAX_INSTRUCTIONS} pickle instructions")
            if opcode.name == "STOP":
                return self.stack.pop()
            handler = _HANDLERS.get(opcode.name)
            if handler is None:
                raise CheckpointError(f"pickle instruction {opcode.name} is not one that checkpoints use")
            handler(self, argument)
        raise EOFError("the pickle has no end")

    def pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def drop_mark(self, _: Any) -> None:
        self.pop_mark()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def put(self, index: int) -> None:
        self.memo[int(index)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[int(index)])

    def tuple_of(self, size: int) -> None:
        items = tuple(self.stack[-size:])
        if len(items) < size:
            raise IndexError("stack underflow")
        del self.stack[-size:]
        self.push(items)

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Opaque) else target
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if isinstance(items, dict) and isinstance(key, (str, int, float, bytes, tuple)):
                items[key] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)

    def global_name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push(Global(f"{module}.{name}"))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(Global(f"{module}.{name}"))

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.push(self.call(function, arguments))

    def new_object(self, _: Any) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.push(self.call(cls, arguments))

    def new_object_ex(self, _: Any) -> None:
        self.stack.pop()
        self.new_object(None)

    def instance(self, argument: str) -> None:
        arguments = tuple(self.pop_mark())
        self.global_name(argument)
        self.push(self.call(self.stack.pop(), arguments))

    def object(self, _: Any) -> None:
        cls, *arguments = self.pop_mark()
        self.push(self.call(cls, tuple(arguments)))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Opaque):
            check_harmless(target.name)
            target.state = state

    def call(self, function: Any, arguments: Any) -> Any:
        """Decide what a call in the file means; nothing is called."""
        name = function.name if isinstance(function, (Global, Opaque)) else type(function).__name__
        check_harmless(name)
        given = arguments if isinstance(arguments, tuple) else ()
        known = _KNOWN_CALLS.get(name)
        if known is not None and (value := known(self, *given)) is not None:
            return value
        opaque = self.reader.note(_class_name(name, given))
        opaque.arguments = given
        return opaque

    def persistent(self, _: Any) -> None:
        value = _storage(self.stack.pop())
        if isinstance(value, Storage):
            self.reader.storages[value.key] = value.dtype
        self.push(value)


def _class_name(name: str, arguments: tuple[Any, ...]) -> str:
    """Name the class that protocol 2's reconstructors would build, rather than the reconstructor."""
    if name in ("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__") and arguments:
        first = arguments[0]
        if isinstance(first, Global):
            check_harmless(first.name)
            return first.name
    return name


def _storage(identifier: Any) -> Any:
    """Turn torch's persistent id ``("storage", type, key, location, numel, …)`` into a Storage."""
    if not isinstance(identifier, tuple) or not identifier:
        raise CheckpointError("a persistent id that torch does not write")
    if identifier[0] == "module":  # legacy files carry the source of a whole model's classes
        return identifier[1]
    kind, storage_type, key, _, numel, *view = identifier
    if kind != "storage" or not isinstance(numel, int) or any(part is not None for part in view):
        raise CheckpointError("a storage description that torch does not write")
    name = storage_type.name if isinstance(storage_type, (Global, Opaque)) else str(storage_type)
    dtype = _STORAGE_DTYPES.get(name.rpartition(".")[2], name)
    return Storage(str(key), dtype, numel)


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, dtype: str | None = None
) -> TensorData | None:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        return None
    numbers = (offset, *shape, *stride)
    if any(not isinstance(number, int) or number < 0 for number in numbers) or len(shape) != len(stride):
        raise CheckpointError("a tensor with an impossible shape or stride")
    return TensorData(storage, dtype or storage.dtype, offset, shape, stride)


def _rebuild_tensor(_: _Machine, storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Any:
    # The last of (requires_grad, hooks, metadata) says that the values are to be negated or conjugated.
    metadata = more[2] if len(more) > 2 else None  # noqa: PLR2004
    return None if metadata else _tensor(storage, offset, shape, stride)


def _rebuild_tensor_v3(
    _: _Machine,
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    _grad: Any,
    _hooks: Any,
    dtype: Any,
    *__: Any,
) -> Any:
    name = dtype.name.rpartition(".")[2] if isinstance(dtype, Global) else None
    return _tensor(storage, offset, shape, stride, name)


def _first(_: _Machine, value: Any = None, *__: Any) -> Any:
    return value


def _from_type(
    machine: _Machine, function: Any = None, _type: Any = None, arguments: Any = (), *__: Any
) -> Any:
    value = machine.call(function, arguments)
    return value if isinstance(value, TensorData) else None


def _dict(_: _Machine, pairs: Any = (), *__: Any) -> Any:
    if isinstance(pairs, dict):
        return dict(pairs)
    if isinstance(pairs, (list, tuple)):
        items = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]  # noqa: PLR2004
        return {key: value for key, value in items if isinstance(key, (str, int))}
    return {}


def _default_dict(_: _Machine, *__: Any) -> Any:
    return {}


def _items(_: _Machine, items: Any = (), *__: Any) -> Any:
    return list(items) if isinstance(items, (list, tuple)) else []


def _size(_: _Machine, items: Any = (), *__: Any) -> Any:
    return tuple(items) if isinstance(items, (list, tuple)) else None


_KNOWN_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": _default_dict,
    "builtins.dict": _dict,
    "__builtin__.dict": _dict,
    "builtins.list": _items,
    "builtins.set": _items,
    "builtins.frozenset": _items,
    "__builtin__.set": _items,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _from_type,
}


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _nothing(_: _Machine, __: Any) -> None:
    """Framing and protocol numbers carry no data."""


_PUSHED = """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8""".split()

_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHED, _Machine.push),
    "PROTO": _nothing,
    "FRAME": _nothing,
    "NONE": _constant(None),
    "NEWTRUE": _constant(value=True),
    "NEWFALSE": _constant(value=False),
    "MARK": _constant(_MARK),
    "POP": _Machine.pop,
    "POP_MARK": _Machine.drop_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push(_dict(machine, _paired(machine.pop_mark()))),
    "SETITEM": lambda machine, _: machine.set_items(_last_two(machine)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_mark()),
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "NEWOBJ_EX": _Machine.new_object_ex,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "BUILD": _Machine.build,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "BINPERSID": _Machine.persistent,
}


def _last_two(machine: _Machine) -> list[Any]:
    value, key = machine.stack.pop(), machine.stack.pop()
    return [key, value]


def _paired(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))
