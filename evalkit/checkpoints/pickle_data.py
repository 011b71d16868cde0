"""Reads a pickle as data: its instructions become dicts, lists, numbers and tensor descriptions.

Nothing that the file names is imported or called. A name that is no container and no tensor becomes an
``Opaque``, is carried along, and is listed for the report. What the instructions of a pickle mean is
defined by the standard library's ``pickletools``.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evalkit.checkpoints.data import Global, Opaque, Storage
from evalkit.checkpoints.hostile import check_harmless, hostile
from evalkit.checkpoints.rebuilt import KNOWN_CALLS, is_key, storage_of, work_of
from evalkit.display import visible
from evalkit.errors import CheckpointError

MAX_INSTRUCTIONS = 3_000_000
MAX_OPAQUE_NAMES = 1_000
MAX_NAME = 200
MAX_GLOBAL = 1_000

_MARK = object()


@dataclass(slots=True)
class PickleReader:
    """Interprets one or more pickles that stand behind each other in a buffer.

    Attributes:
        opaque: The names of everything that was not read, in order of appearance.
        storages: The element type of every storage that was mentioned, by key.
        left: How many instructions and copied items may still come: the time and memory that they cost.
    """

    opaque: dict[str, None] = field(default_factory=dict)
    storages: dict[str, str] = field(default_factory=dict)
    left: int = MAX_INSTRUCTIONS

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
            self.opaque[visible(name, limit=MAX_NAME)] = None
        return Opaque(name)

    def spend(self, n: int) -> None:
        """Count what was done, so that no file makes it endless."""
        self.left -= n
        if self.left < 0:
            raise CheckpointError(f"more than {MAX_INSTRUCTIONS:,} pickle instructions")


class _Machine:
    """The stack machine of one pickle."""

    def __init__(self, reader: PickleReader) -> None:
        self.reader = reader
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: Any) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            self.reader.spend(1)
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
            if isinstance(items, dict) and is_key(key):
                items[key] = value

    def dictionary(self, _: Any) -> None:
        pairs = self.pop_mark()
        self.push({})
        self.set_items(pairs)

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Opaque):  # of a class that is a list
            target.items.update(enumerate(items, start=len(target.items)))

    def global_name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push_global(module, name)

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise CheckpointError("a global whose name is no text")
        self.push_global(module, name)

    def push_global(self, module: str, name: str) -> None:
        if len(module) + len(name) > MAX_GLOBAL:
            raise CheckpointError(f"a global with a name of more than {MAX_GLOBAL:,} characters")
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
        if isinstance(target, Global):
            raise hostile(f"change {visible(target.name)} itself")
        if isinstance(target, Opaque):
            check_harmless(target.name)
            target.state = state

    def call(self, function: Any, arguments: Any) -> Any:
        """Decide what a call in the file means; nothing is called."""
        name = function.name if isinstance(function, (Global, Opaque)) else type(function).__name__
        check_harmless(name)
        given = arguments if isinstance(arguments, tuple) else ()
        self.reader.spend(work_of(given))
        for argument in given:
            if isinstance(argument, Global):  # handed to something that would call it
                check_harmless(argument.name)
        known = KNOWN_CALLS.get(name)
        if known is not None and (value := known(*given)) is not None:
            return value
        opaque = self.reader.note(_class_name(name, given))
        opaque.arguments = given
        return opaque

    def persistent(self, _: Any) -> None:
        value = storage_of(self.stack.pop())
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
    "DICT": _Machine.dictionary,
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
