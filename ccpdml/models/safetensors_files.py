"""Reads .safetensors files: a JSON header and plain numbers."""

import json
import math

import numpy as np

from ccpdml.models import numbers

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": numbers.BFLOAT16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
LARGEST_HEADER = 100_000_000  # Bytes, as the format has it.


def load(path):
    """Reads a .safetensors file.

    Args:
        path: of the file.

    Returns:
        Dictionary name -> array; bfloat16 becomes float32.

    Raises:
        ValueError: if it is damaged, or has numbers of a kind that is not read.
    """
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER:
            raise ValueError(f"`path` is no .safetensors file. Received: {path=}")
        try:
            header, data = json.loads(file.read(size)), file.read()
            header.pop("__metadata__", None)
            return {name: _array(name, entry, data) for name, entry in header.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"`path` is no readable .safetensors file: {error}. Received: {path=}"
            ) from error


def _array(name, entry, data):
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name}: numbers of the kind {entry['dtype']!r:.20} are not read")
    dtype, (start, stop) = np.dtype(_DTYPES[entry["dtype"]]), entry["data_offsets"]
    shape = tuple(entry["shape"])
    if min(shape, default=0) < 0 or not 0 <= start <= stop <= len(data):
        raise ValueError(f"{name}: a tensor of shape {shape} reaches beyond the file")
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: a tensor of shape {shape} has {stop - start} bytes")
    return numbers.plain(np.frombuffer(data[start:stop], dtype).reshape(shape))
