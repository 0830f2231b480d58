"""Files of embeddings: .npz with embeddings, paths, classes and where they are from."""

import dataclasses
import itertools
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ccpdml import files


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Embedded images.

    Attributes:
        embeddings: float32 [n, dim], normalized as they were in training.
        paths: of the image files as they were given, str [n].
        classes: names of their classes, str [n]; "" where it is not known.
        info: view, preprocessing and normalization, and the fingerprint of the encoder; dict.
    """

    embeddings: np.ndarray
    paths: np.ndarray
    classes: np.ndarray
    info: dict

    def __len__(self):
        return len(self.paths)


def read_embeddings(path: str | Path) -> Embeddings:
    """Reads a file of embeddings.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected a file that experiments/embed.py wrote. Received: {path}, which does not "
            "exist"
        )
    try:
        with np.load(path) as arrays:
            fields = {name: arrays[name] for name in ("embeddings", "paths", "classes", "info")}
        return Embeddings(**(fields | {"info": json.loads(str(fields["info"]))}))
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: expected a file that experiments/embed.py wrote. Received: {error}"
        ) from error


def write(
    path: str | Path,
    embeddings: Iterable,
    paths: np.ndarray,
    classes: np.ndarray,
    info: dict,
) -> None:
    """Writes a file of embeddings in one go: it is there whole, or not at all.

    Args:
        path: the file.
        embeddings: its parts in order, float32 [part_size, dim] each; one at a time is in memory.
        paths, classes, info: as in `Embeddings`.
    """
    embeddings = iter(embeddings)
    first = next(embeddings)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(paths), first.shape[1])}
    with files.replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("embeddings.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in itertools.chain([first], embeddings):
                member.write(np.ascontiguousarray(part, "<f4").tobytes())
        texts = {"paths": paths, "classes": classes, "info": np.array(json.dumps(info))}
        for name, array in texts.items():
            about = zipfile.ZipInfo(f"{name}.npy")
            about.compress_type = zipfile.ZIP_DEFLATED  # Four bytes a character otherwise.
            with archive.open(about, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, str), allow_pickle=False)
