"""Hostile checkpoints, each made from a good one; README.md says what each claims and what comes of it.

``python tests/attacks/files.py DIR`` writes them all, for other loaders to be tried on.
"""

import io
import json
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

MARKER = "evalkit-was-here"
COMMAND = f"touch {MARKER}"
_UNICODE = b"X"


def network() -> nn.Module:
    """The model that the good file belongs to."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def text(value: str) -> bytes:
    raw = value.encode()
    return _UNICODE + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def good_parts() -> tuple[bytes, dict[str, bytes]]:
    """Return the pickle of a good file without its end, and its storages."""
    buffer = io.BytesIO()
    torch.save(network().state_dict(), buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}
    stored = {key.removeprefix("data/"): value for key, value in parts.items() if key.startswith("data/")}
    return parts["data.pkl"][:-1], stored


def archive(
    path: Path, pickled: bytes, storages: dict[str, bytes], more: dict[str, bytes] | None = None
) -> None:
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        target.writestr("archive/byteorder", b"little")
        for key, raw in storages.items():
            target.writestr(f"archive/data/{key}", raw)
        target.writestr("archive/version", b"3\n")
        for key, raw in (more or {}).items():
            target.writestr(key, raw)


def beside(instructions: bytes) -> Callable[[Path], None]:
    """A good file whose pickle does something more, and forgets its result."""

    def build(path: Path) -> None:
        pickled, storages = good_parts()
        archive(path, pickled + instructions + b"0.", storages)

    return build


def instead(pickled: bytes, storages: dict[str, bytes] | None = None) -> Callable[[Path], None]:
    """A file whose pickle is ours alone."""
    return lambda path: archive(path, b"\x80\x02" + pickled + b".", storages or {})


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


class Reduces:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> object:
        return self.call


def legacy(extra: object) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        state = {"model": network().state_dict(), "extra": extra}
        torch.save(state, path, _use_new_zipfile_serialization=False)

    return build


def legacy_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        buffer = io.BytesIO()
        torch.save(network().state_dict(), buffer, _use_new_zipfile_serialization=False)
        path.write_bytes(change(buffer.getvalue()))

    return build


def last_storage(number: int) -> Callable[[bytes], bytes]:
    """Change the length that stands before the last storage: the BatchNorm counter or a bias."""
    raw = network().state_dict()["3.bias"].numpy().tobytes()
    return lambda data: data.replace(struct.pack("<q", 3) + raw, struct.pack("<q", number) + raw)


def storage(key: str = "0", numel: int = 3, kind: str = "FloatStorage") -> bytes:
    number = b"\x8a\x09" + numel.to_bytes(9, "little", signed=True)
    return (
        b"("
        + text("storage")
        + name("torch", kind)
        + text(key)
        + text("cpu")
        + number
        + b"tQ"
    )  # fmt: skip


def integer(number: int) -> bytes:
    return b"\x8a\x0a" + number.to_bytes(10, "little", signed=True)


def tensor(
    shape: tuple[int, ...] = (3,), stride: tuple[int, ...] = (1,), offset: int = 0, **kind: object
) -> bytes:
    def several(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(integer(number) for number in numbers) + b"t"

    arguments = (storage(**kind), integer(offset), several(shape), several(stride), b"\x89", b"}")
    return call(name("torch._utils", "_rebuild_tensor_v2"), *arguments)


def one_tensor(
    raw: bytes = bytes(12), shape: tuple[int, ...] = (3,), stride: tuple[int, ...] = (1,), **options: object
) -> Callable[[Path], None]:
    """The good file with ``3.bias`` from an instruction of ours."""

    def build(path: Path) -> None:
        pickled, storages = good_parts()
        replaced = text("3.bias") + tensor(shape, stride, **{"key": "ours", **options}) + b"s"
        archive(path, pickled + replaced + b".", {**storages, "ours": raw})

    return build


def module(state: bytes) -> bytes:
    """An object with the attributes of a torch module."""
    return call(name("copyreg", "_reconstructor"), name("boom", "Net"), name("builtins", "object"), b"N") + (
        state + b"b"
    )


def attributes(parameters: bytes = b"}", modules: bytes = b"}") -> bytes:
    return (
        b"}("
        + text("_parameters")
        + parameters
        + text("_buffers")
        + b"}"
        + text("_modules")
        + modules
        + b"u"
    )  # fmt: skip


def doubling_modules() -> bytes:
    """Forty modules, each of which holds the next twice: 2^40 ways to the innermost weight."""
    built = module(attributes(parameters=b"}" + text("w") + tensor() + b"s"))
    for _ in range(40):
        children = b"}(" + text("a") + b"h\x07" + text("b") + b"h\x07" + b"u"
        built = built + b"q\x070" + module(attributes(modules=children))
    return built


def shared_parameters() -> bytes:
    """Nine hundred modules that all hold the same nine hundred parameters."""
    weight = b"}(" + b"".join(text(f"w{k}") + b"h\x01" for k in range(900)) + b"u"
    layers = b"".join(text(f"m{k}") + b"h\x03" for k in range(900))
    first = tensor() + b"q\x010" + weight + b"q\x020" + module(attributes(parameters=b"h\x02")) + b"q\x030"
    return first + module(attributes(modules=b"}(" + layers + b"u"))


def tensors_file(header: object, body: bytes, length: int | None = None) -> Callable[[Path], None]:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda path: path.write_bytes(
        struct.pack("<Q", len(raw) if length is None else length) + raw + body
    )


def entry(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def index(weight_map: object, shards: bool = True) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        if shards:
            safetensors.torch.save_file(network().state_dict(), path.with_name("one.safetensors"))
        path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))

    return build


def rezipped(change: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        pickled, storages = good_parts()
        archive(path, pickled + b".", storages)
        with zipfile.ZipFile(path) as source:
            parts = {info.filename: source.read(info) for info in source.infolist()}
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as target:
            warnings.simplefilter("ignore")
            change(target, parts)

    return build


def with_entry(key: str, raw: bytes, *, deflated: bool = False) -> Callable[[Path], None]:
    def change(target: zipfile.ZipFile, parts: dict[str, bytes]) -> None:
        for known, value in parts.items():
            target.writestr(known, value)
        target.writestr(key, raw, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)

    return rezipped(change)


def spliced(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        pickled, storages = good_parts()
        archive(path, pickled + b".", storages)
        path.write_bytes(change(path.read_bytes()))

    return build


def script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network().eval(), torch.zeros(2, 4)), path)


def exported(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network().eval(), (torch.zeros(2, 4),)), path)


def sparse_file(path: Path) -> None:
    """Five gigabytes of nothing behind a good beginning: no block on the disk."""
    beside(b"N")(path)
    with path.open("r+b") as file:
        file.truncate(5 << 30)


def saved(value: Callable[[], torch.Tensor]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save({**network().state_dict(), "3.bias": value()}, path)

    return build


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


SYSTEM = name("posix", "system")
CALLED = text(COMMAND)

ATTACKS: dict[str, Callable[[Path], None]] = {
    # Calls
    "reduce-system": beside(call(SYSTEM, CALLED)),
    "reduce-system-legacy": legacy(Reduces(__import__("os").system, COMMAND)),
    "reduce-eval": beside(call(name("builtins", "eval"), text(f"open({MARKER!r}, 'w')"))),
    "reduce-exec": beside(call(name("builtins", "exec"), text(f"open({MARKER!r}, 'w')"))),
    "reduce-python2": beside(call(name("__builtin__", "execfile"), CALLED)),
    "reduce-import": beside(call(name("builtins", "__import__"), text("boom"))),
    "reduce-open": beside(call(name("io", "open"), text(MARKER), text("w"))),
    "reduce-getattr": beside(call(name("builtins", "getattr"), name("torch", "serialization"), text("os"))),
    "reduce-torch-load": beside(call(name("torch.serialization", "load"), CALLED)),
    "reduce-partial": beside(call(call(name("functools", "partial"), SYSTEM, CALLED))),
    "nested-global": beside(b"\x8c\x05torch\x8c\x17serialization.os.system\x93" + b"(" + CALLED + b"tR"),
    "instance": beside(b"(" + CALLED + b"iposix\nsystem\n"),
    "object": beside(b"(" + SYSTEM + CALLED + b"o"),
    "new-object": beside(name("subprocess", "Popen") + b"(" + CALLED + b"t\x81"),
    "new-object-ex": beside(name("subprocess", "Popen") + b"(" + CALLED + b"t}\x92"),
    "reconstructor": beside(
        call(name("copyreg", "_reconstructor"), name("subprocess", "Popen"), name("builtins", "object"), b"N")
    ),
    "build-class": beside(name("boom", "Thing") + b"}" + text("x") + text("y") + b"sb"),
    "setstate": beside(call(name("boom", "Thing")) + b"}" + text("cmd") + CALLED + b"sb"),
    "own-function": beside(call(name("boom", "run"), CALLED)),
    "global-alone": beside(name("boom", "run")),
    "module-source": beside(
        b"(" + text("module") + name("boom", "Net") + text("boom.py") + text(f"open({MARKER!r}, 'w')") + b"tQ"
    ),
    "persistent-text": beside(b"P/etc/passwd\n"),
    "extension-code": beside(b"\x82\x01"),
    "global-of-lists": beside(b"](" * 1 + b"e" + text("system") + b"\x93"),
    # Memory and time
    "memo-bomb": beside(b"]q\x09" + b"](h\x09h\x09eq\x09" * 60 + b"0" * 60),
    "copy-bomb": beside(
        b"](" + b"N" * 100_000 + b"eq\x09" + (name("builtins", "list") + b"(h\x09tR0") * 60_000
    ),
    "instruction-flood": beside(b"N0" * 2_600_000 + b"N"),
    "deep-list": instead(b"]" * 100_000 + b"a" * 99_999),
    "deep-key": beside(b"}" + b")" + b"\x85" * 200_000 + b"Ns"),
    "long-text": beside(b"\x8d" + struct.pack("<Q", 1 << 60)),
    "long-integer": beside(b"\x8b" + struct.pack("<i", (1 << 31) - 1)),
    "negative-length": beside(b"\x8b" + struct.pack("<i", -5)),
    "frame": beside(b"\x95" + struct.pack("<Q", 1 << 62)),
    "holds-itself": instead(b"}q\x01" + text("again") + b"h\x01s"),
    "module-in-itself": instead(
        call(name("copyreg", "_reconstructor"), name("boom", "Net"), name("builtins", "object"), b"N")
        + b"q\x05"
        + attributes(b"}" + text("w") + tensor() + b"s", b"}" + text("me") + b"h\x05s")
        + b"b",
        {"0": bytes(12)},
    ),  # fmt: skip
    "doubling-modules": instead(doubling_modules(), {"0": bytes(12)}),
    "giant-key": beside(b"}" + text("k" * 3_000_000) + b"}s"),
    "giant-number-key": beside(b"}\x8b" + struct.pack("<i", 50_000) + b"\x7f" * 50_000 + b"}s"),
    "long-global": beside(
        text("m" * 30_000) + b"q\x09" + text("n" * 30_000) + b"q\x0a0" * 2 + b"h\x09h\x0a\x93"
    ),
    "shared-arguments": beside(
        b"(" + b"N" * 20_000 + b"tq\x090" + (name("boom", "Thing") + b"h\x09R0") * 20_000 + b"N"
    ),
    "shared-state": instead(
        b"}("
        + b"".join(text(str(k)) + b"}" for k in range(2_000))
        + b"uq\x090]("
        + (name("boom", "Thing") + b")Rh\x09b") * 2_000
        + b"e"
    ),
    "shared-parameters": instead(shared_parameters(), {"0": bytes(12)}),
    "state-of-many": beside(call(name("boom", "Thing")) + b"}q\x090(" + b"h\x09" * 100_000 + b"tb"),
    "huge-number-keys": beside(
        b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + b"q\x090}" + b"h\x09Ns" * 50_000
    ),
    "odd-hidden-set": instead(
        module(
            attributes(b"}" + text("w") + tensor() + b"s") + text("_non_persistent_buffers_set") + b"K\x05s"
        ),
        {"0": bytes(12)},
    ),
    "long-path": instead(
        b"}" + b"".join(text("k" * 900) + b"}" for _ in range(3)) + text("w") + tensor() + b"s" + b"sss",
        {"0": bytes(12)},
    ),
    "sparse-file": sparse_file,
    # Tensors that lie
    "storage-size": one_tensor(numel=1 << 40),
    "storage-short": one_tensor(raw=bytes(4)),
    "storage-missing": one_tensor(key="elsewhere"),
    "storage-path": one_tensor(key="../../../../etc/passwd"),
    "storage-negative": one_tensor(numel=-1),
    "storage-kind": one_tensor(kind="WeirdStorage"),
    "outside": one_tensor(offset=1),
    "expanded": one_tensor(shape=(1_000_000_000,), stride=(0,)),
    "negative-stride": one_tensor(stride=(-1,), offset=2),
    "endless-shape": one_tensor(shape=(1 << 62, 1 << 62), stride=(1, 1)),
    "many-dimensions": one_tensor(shape=(1,) * 100_000, stride=(1,) * 100_000),
    "empty-but-huge": one_tensor(shape=(0, 1 << 47, 1 << 47), stride=(1, 1, 1)),
    "complex": saved(lambda: torch.ones(3, dtype=torch.complex64)),
    "sparse": saved(lambda: torch.ones(3).to_sparse()),
    "quantized": saved(quantized),
    "meta": saved(lambda: torch.ones(3, device="meta")),
    "not-a-number": saved(lambda: torch.tensor([0.0, float("nan"), 0.0])),
    # Archives
    "zip-bomb": with_entry("archive/data/zeros", bytes(50_000_000), deflated=True),
    "second-pickle": with_entry("archive/data.pkl", b"\x80\x02}."),
    "other-pickle": with_entry("other/data.pkl", b"\x80\x02}."),
    "climbing-name": with_entry("archive/../../../tmp/evil", b"x"),
    "absolute-name": with_entry("/etc/evil", b"x"),
    "two-names": spliced(lambda data: data.replace(b"archive/data/0", b"archive/data/X", 1)),
    "leading-junk": spliced(lambda data: b"junk" + data),
    "second-archive": spliced(lambda data: data + data[: len(data) // 2]),
    "flipped-bit": spliced(lambda data: data.replace(bytes(12), b"\x01" + bytes(11), 1)),
    "torchscript": script,
    "torch-export": exported,
    # Legacy files
    "legacy-length": legacy_bytes(last_storage(1 << 40)),
    "legacy-negative": legacy_bytes(last_storage(-3)),
    "plain-pickle": lambda path: path.write_bytes(pickle.dumps(Reduces(__import__("os").system, COMMAND))),
    # safetensors
    "header-length": tensors_file({"a": entry(0, 4)}, bytes(4), 1 << 60),
    "header-cut": tensors_file({"a": entry(0, 4)}, bytes(4), 4000),
    "name-twice": tensors_file(b'{"a":%b,"a":%b}' % ((json.dumps(entry(0, 4)).encode(),) * 2), bytes(4)),
    "overlap": tensors_file({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)),
    "hole": tensors_file({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
    "trailing": tensors_file({"a": entry(0, 4)}, bytes(400)),
    "shape-overflow": tensors_file({"a": entry(0, 4, shape=(1 << 62, 1 << 62))}, bytes(4)),
    "unknown-type": tensors_file({"a": entry(0, 4, dtype="F7")}, bytes(4)),
    "deep-header": tensors_file(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b""),
    # Indexes of shards
    "index-climbs": index({"a": "../../../etc/passwd"}),
    "index-absolute": index({"a": "/etc/passwd"}),
    "index-of-index": index({"a": "c.pt"}),
    "index-lies": index({"0.weight": "one.safetensors", "nothing": "one.safetensors"}),
    "index-many": index({str(k): f"{k}.safetensors" for k in range(5000)}, shards=False),
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for attack, build in ATTACKS.items():
        (folder / attack).mkdir(exist_ok=True)
        build(folder / attack / "c.pt")


if __name__ == "__main__":
    main()
