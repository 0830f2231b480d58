"""Reads tensors out of PyTorch files without PyTorch and without running what is in them."""

import math
import pickle
import struct
import sys
import zipfile
import zlib
from collections import OrderedDict

import numpy as np

from ccpdml.models import numbers

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "BFloat16Storage": numbers.BFLOAT16,
}
# Where checkpoints keep the weights among other things, in this order.
_PLACES = ("state_dict", "model_state_dict", "model", "net", "network")
# What damaged or hostile files raise on the way.
_BROKEN = (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError)
_BROKEN += (OverflowError, EOFError, MemoryError, RecursionError, NotImplementedError)
_BROKEN += (zipfile.BadZipFile, zlib.error, struct.error)
_MAGIC = 0x1950A86A20F9469CFC6C


def load(path):
    """Reads a state dict that `torch.save` wrote, in the zip format or the older one.

    Args:
        path: of the file: a dictionary of tensors, or a checkpoint that has one under
            "state_dict", "model_state_dict", "model", "net" or "network".

    Returns:
        Dictionary name -> array; bfloat16 becomes float32.

    Raises:
        ValueError: if the file holds anything but dictionaries, tensors and plain values, no
            dictionary of tensors, or is damaged.
    """
    try:
        loaded = _load_zip(path) if zipfile.is_zipfile(path) else _load_stream(path)
        tensors = _tensors(loaded)
        return {name: _named(name, tensor) for name, tensor in tensors.items()}
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"`path` is no readable state dict: {reason}. Received: {path=}"
        ) from error


def _tensors(loaded):
    """The tensors of a state dict, by name, wherever it is in what was loaded."""
    if not isinstance(loaded, dict):
        raise ValueError(f"it holds a {type(loaded).__name__} in place of a dictionary of tensors")
    inner = [loaded[name] for name in _PLACES if isinstance(loaded.get(name), dict)]
    for each in (loaded, *inner):
        found = {name: value for name, value in each.items() if isinstance(value, _Tensor)}
        if found:
            return found
    names = ", ".join(str(name) for name in list(loaded)[:8]) or "nothing"
    raise ValueError(
        f"expected tensors by name, at the top or under one of {', '.join(_PLACES)}; "
        f"at the top there is {names:.200}"
    )


class _Storage:
    """The numbers of one or more tensors; in the older format they come after the tensors."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.numbers = None


class _Tensor:
    """Place of a tensor's numbers in a storage."""

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


def _named(name, tensor):
    """The numbers of a tensor; an error names it."""
    try:
        return _resolve(tensor)
    except _BROKEN as error:
        raise ValueError(f"{name}: {error}") from error


def _resolve(tensor):
    entries = (tensor.offset, *tensor.shape, *tensor.strides)
    if not all(isinstance(entry, int) for entry in entries) or min(entries) < 0:
        raise ValueError(f"a tensor has the shape {tensor.shape!s:.80}")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    if tensor.storage.numbers is None:
        raise ValueError("a tensor's numbers are not in the file")
    stored = tensor.storage.numbers[tensor.offset :]
    count = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    # Tensors may share numbers, but none is larger than what it is made of.
    if count > len(stored) or math.prod(tensor.shape) > len(stored):
        raise ValueError(f"a tensor of shape {tensor.shape!s:.80} reaches beyond its storage")
    strides = [step * stored.itemsize for step in tensor.strides]
    return numbers.plain(np.lib.stride_tricks.as_strided(stored, tensor.shape, strides))


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_):
    return tensor


class _Unpickler(pickle.Unpickler):
    """Knows tensors, storages and ordered dictionaries; every other name is refused."""

    ALLOWED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    }

    def __init__(self, file, storage_of):
        super().__init__(file, encoding="utf-8")
        self.storage_of = storage_of

    def find_class(self, module, name):
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch" and name.endswith("Storage"):
            raise pickle.UnpicklingError(f"it has numbers of a kind that is not read, {name}")
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")
        return self.ALLOWED[module, name]

    def persistent_load(self, pid):
        if pid[0] != "storage":
            raise pickle.UnpicklingError(f"it refers to {pid[0]!r}, which is no storage")
        return self.storage_of(pid[1], str(pid[2]))


def _load_zip(path):
    with zipfile.ZipFile(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(entries) != 1:
            raise pickle.UnpicklingError("it is no archive of torch.save")
        (entry,) = entries
        root = entry[: -len("data.pkl")]
        if f"{root}byteorder" in archive.namelist():
            _check_byte_order(archive.read(f"{root}byteorder").decode())

        def storage_of(dtype, key):
            storage = _Storage(dtype)
            storage.numbers = np.frombuffer(archive.read(f"{root}data/{key}"), dtype)
            return storage

        with archive.open(entry) as file:
            return _Unpickler(file, storage_of).load()


def _load_stream(path):
    storages = {}

    def storage_of(dtype, key):
        return storages.setdefault(key, _Storage(dtype))

    with open(path, "rb") as file:
        if _Unpickler(file, storage_of).load() != _MAGIC:
            raise pickle.UnpicklingError("it does not start as a file of torch.save")
        _Unpickler(file, storage_of).load()  # version of the protocol
        _check_byte_order(
            "little" if _Unpickler(file, storage_of).load()["little_endian"] else "big"
        )
        loaded = _Unpickler(file, storage_of).load()
        for key in _Unpickler(file, storage_of).load():
            storage = storages[str(key)]
            count = int.from_bytes(file.read(8), "little")
            data = file.read(count * storage.dtype.itemsize)
            if len(data) < count * storage.dtype.itemsize:
                raise EOFError("it ends inside a tensor")
            storage.numbers = np.frombuffer(data, storage.dtype)
    return loaded


def _check_byte_order(order):
    if order != "little" or sys.byteorder != "little":
        raise pickle.UnpicklingError(f"its byte order is {order}, this machine's {sys.byteorder}")
