"""Files of embeddings: .npz with embeddings, paths, classes and where they are from."""

import dataclasses
import itertools
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ccpdml import files

TO_MAKE_ONE = (
    "`ccpdml embed` writes such files; vectors of another origin become one by "
    "serving.Embeddings.of(vectors, paths, classes, made_with='name of the model').save('own.npz')"
)
_CHECKED_AT_ONCE = 2**20  # Bytes.
_TEXTS_AT_ONCE = 2**16
_LOCAL_HEADER = struct.Struct("<26xHH")  # Of a member of an archive; what follows it has two sizes.
NEEDED = {"embeddings", "paths", "classes", "info"}  # Arrays of a file.
# What NumPy, zipfile and json say of a file that is damaged, or was made to do harm.
_BROKEN = (ValueError, TypeError, OSError, EOFError, MemoryError, RecursionError)
_BROKEN += (NotImplementedError, OverflowError, SyntaxError, tokenize.TokenError)
_BROKEN += (zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Embedded images.

    Attributes:
        embeddings: float32 [n, dim], normalized as they were in training; of a file a
            `numpy.memmap`. That and the texts of a file stay on the disk.
        paths: of the image files as they were given, str [n].
        classes: names of their classes, str [n]; "" where it is not known.
        info: view, preprocessing and normalization, and the fingerprint of the encoder, under
            "encoder"; dict.
        digests: of the bytes of the image files, str [n]; "" where it is not known.
        root: the folder that relative paths start from; "" is the current one.

    Raises:
        ValueError: if these do not fit together.
    """

    embeddings: np.ndarray
    paths: np.ndarray
    classes: np.ndarray
    info: dict[str, Any]
    digests: np.ndarray | None = None
    root: str = ""

    def __post_init__(self):
        rows = self.embeddings
        rows = rows if isinstance(rows, np.memmap) else np.asarray(rows)
        if rows.ndim != 2 or rows.dtype.kind != "f" or not rows.size:
            raise ValueError(
                "`embeddings` must be floats [n, dim], n and dim at least 1. "
                f"Received: dtype={rows.dtype}, shape={rows.shape}"
            )
        object.__setattr__(self, "embeddings", rows.astype(np.float32, copy=False))
        for name in ("paths", "classes", "digests"):
            given = getattr(self, name)
            texts = np.full(len(rows), "") if given is None else np.asarray(given, str)
            if texts.shape != (len(rows),):
                raise ValueError(
                    f"`{name}` must have an entry for each of the {len(rows)} embeddings. "
                    f"Received: shape={texts.shape}"
                )
            object.__setattr__(self, name, texts)
        encoder = self.info.get("encoder") if isinstance(self.info, dict) else None
        if not isinstance(encoder, dict) or not isinstance(encoder.get("fingerprint"), str):
            raise ValueError(
                "`info` must name the encoder, {'encoder': {'fingerprint': ...}}. "
                f"Received: info={str(self.info)[:80]}"
            )

    @classmethod
    def of(
        cls,
        embeddings: npt.ArrayLike,
        paths: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        *,
        made_with: str,
    ) -> Self:
        """Embeddings of another origin.

        Args:
            embeddings: float [n, dim].
            paths: of the image files, str [n].
            classes: of the images, [n]; None if they are not known.
            made_with: name of what made them; only embeddings of the same name are compared.

        Raises:
            ValueError: if these do not fit together.
        """
        rows, files = np.asarray(embeddings), np.asarray(paths)
        names = np.full(len(files), "") if classes is None else np.asarray(classes)
        return cls(rows, files, names, {"encoder": {"fingerprint": made_with}})

    def __len__(self):
        return len(self.paths)

    def __str__(self):
        starts = range(0, len(self), _TEXTS_AT_ONCE)
        parts = (self.classes[start : start + _TEXTS_AT_ONCE].tolist() for start in starts)
        num_images, num_classes = len(self), len(set().union(*parts) - {""})
        images = f"{num_images} image{'s' * (num_images != 1)}"
        if num_classes:
            images += f" of {num_classes} class{'es' * (num_classes != 1)}"
        how = self.info["encoder"].get("normalization")
        normalized = f", normalized as in training ({how})" if how else ""
        return f"{images}, {self.embeddings.shape[1]} numbers each{normalized}"

    @property
    def fingerprint(self) -> str:
        """Tells apart what made the embeddings."""
        return self.info["encoder"]["fingerprint"]

    @property
    def files(self) -> np.ndarray:
        """Absolute names of the image files, one for each, str [n]."""
        return locations(self.paths.tolist(), self.root)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Absolute names of some image files, str of the shape of `rows`."""
        distinct, where = np.unique(rows, return_inverse=True)
        names = locations(self.paths[distinct].tolist(), self.root)
        return names[where].reshape(np.shape(rows))

    def says(self, texts: dict[str, Any], info: dict[str, Any]) -> bool:
        """Tells whether `write` would write the same file, given these and called from here."""
        same = [np.array_equal(getattr(self, name), array) for name, array in texts.items()]
        here = os.path.realpath(self.root) == os.path.realpath("")
        return all(same) and here and self.info == json.loads(json.dumps(info))

    def save(self, path: str | Path) -> None:
        """Writes them to an .npz file, in one go; `read_embeddings` reads it.

        Raises:
            ValueError: if `path` does not end in .npz.
            OSError: if it cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"A file of embeddings must end in .npz. Received: {path}")
        texts = {"paths": self.paths, "classes": self.classes, "digests": self.digests}
        write(path, [self.embeddings], texts, self.info, self.root)


def read_embeddings(path: str | Path) -> Embeddings:
    """Reads a file of embeddings.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such file; says how one is made.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a file of embeddings. Received: {path}, which does not exist"
        )
    try:
        return _read(path)
    except _BROKEN as error:
        raise ValueError(
            f"{path}: expected a file with embeddings, paths, classes and info. "
            f"Received: {error or type(error).__name__}. {TO_MAKE_ONE}."
        ) from error


def locations(paths: Iterable[str], root: str = "") -> np.ndarray:
    """Absolute names of files, one for each, str [n]."""
    parts = [os.path.split(path) for path in paths]
    # By folder, of which there are few: each takes several questions to the disk.
    real = {folder: os.path.realpath(os.path.join(root, folder)) for folder, _ in parts}
    return np.array([os.path.join(real[folder], name) for folder, name in parts], str)


def write(
    path: str | Path,
    embeddings: Iterable[np.ndarray],
    texts: dict[str, Any],
    info: dict[str, Any],
    root: str | Path = "",
) -> None:
    """Writes a file of embeddings in one go: it is there whole, or not at all.

    Args:
        path: the file.
        embeddings: its parts in order, float32 [part_size, dim] each; one at a time is in memory.
        texts: `paths`, `classes` and `digests`, as in `Embeddings`.
        info, root: as in `Embeddings`.
    """
    embeddings = iter(embeddings)
    first = next(embeddings)
    header = {"descr": "<f4", "fortran_order": False}
    header["shape"] = (len(texts["paths"]), first.shape[1])
    # Seen from the file, so that it may be moved together with the images.
    start = os.path.relpath(os.path.realpath(root), os.path.realpath(Path(path).parent))
    texts = texts | {"info": np.array(json.dumps(info)), "root": np.array(start)}
    with files.replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("embeddings.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in itertools.chain([first], embeddings):
                member.write(np.ascontiguousarray(part, "<f4").tobytes())
        for name, array in texts.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, str), allow_pickle=False)


def _read(path):
    if not zipfile.is_zipfile(path):
        raise ValueError("no .npz archive")
    with np.load(path, allow_pickle=False) as arrays:
        if not NEEDED.issubset(arrays):
            raise ValueError(f"one with {', '.join(sorted(arrays)) or 'nothing'}")
        fields = {"info": json.loads(str(arrays["info"]))}
        for name in ("embeddings", "paths", "classes", "digests"):
            if name in arrays:
                mapped = _mapped(path, name)
                fields[name] = arrays[name] if mapped is None else mapped
        if "root" in arrays:
            fields["root"] = os.path.join(path.parent, str(arrays["root"]))
        return Embeddings(**fields)


def _mapped(path, name):
    """An array of a file as it lies on the disk, a `numpy.memmap`; None where it does not.

    It does in what `write` writes. An archive of another program may be compressed, say.
    """
    with zipfile.ZipFile(path) as archive:
        about = archive.getinfo(f"{name}.npy")
        with archive.open(about) as member:
            version = np.lib.format.read_magic(member)
            if version != (1, 0) or about.compress_type != zipfile.ZIP_STORED:
                return None
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member)
            offset = member.tell()
            if is_fortran or dtype.kind not in "fU":
                return None
            while member.read(_CHECKED_AT_ONCE):  # Raises where the sum of the bytes is wrong.
                pass
    if about.file_size != offset + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{about.file_size} bytes for {name} of {shape=}")
    with path.open("rb") as file:
        file.seek(about.header_offset)
        name_size, extra_size = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = about.header_offset + _LOCAL_HEADER.size + name_size + extra_size + offset
    return np.memmap(path, dtype, "r", start, shape)
