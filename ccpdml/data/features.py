"""Stored features: vectors of images that another network has seen, and their classes."""

from pathlib import Path

import numpy as np

from ccpdml.data import benchmark, folder, image_set, source

DEFAULT_FILE = "features.npz"
VECTORS, CLASSES = ("features", "embeddings"), ("labels", "classes")
SPLITS = ("train", "val", "test")


def read(root: str | Path | None = None) -> source.Source:
    """Reads an .npz file of vectors and their classes, from whatever network.

    The arrays are
        `features` (or `embeddings`): float [n, dim];
        `labels` (or `classes`): int or str [n];
        `split`, if wanted: str [n], "train", "val" or "test"; without it the first half of the
            classes, in order, develops and the other half tests;
        `paths`, if wanted: a name for each image, str [n].
    What `ccpdml embed` writes is such a file, of embeddings that are normalized already.

    Args:
        root: the file, or a folder with a `features.npz`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not as described, or a vector is not finite.
    """
    file = benchmark.data_root(root)
    file = file / DEFAULT_FILE if file.is_dir() else file
    vectors, labels, split, names = _arrays(file)
    rule = ""
    if split is None:
        train, _, rule = folder.halves(file, labels.tolist())
        split = np.where(np.isin(labels, train), "train", "test")
    rows = {part: np.flatnonzero(split == part) for part in SPLITS}
    absent = [part for part in ("train", "test") if not len(rows[part])]
    if absent:
        raise ValueError(
            f"{file}: expected vectors to train and to test on. Received: none of {absent}"
        )
    sets = {
        part: _set(vectors[own], labels[own], None if names is None else names[own])
        for part, own in rows.items()
        if len(own)
    }
    return source.Source(
        development=sets["train"],
        validation=sets.get("val"),
        test=sets["test"],
        layout=f"{len(vectors)} vectors of {vectors.shape[1]}",
        rule=rule,
    )


def _arrays(file):
    """Vectors, labels, split and names; the last two are None if they are not in the file."""
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected an .npz file with {VECTORS[0]} [n, dim] and {CLASSES[0]} [n]. "
            f"Received: {file}, which does not exist; set --data_root."
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            vectors, labels = (_one_of(arrays, names) for names in (VECTORS, CLASSES))
            split, names = (arrays.get(name) for name in ("split", "paths"))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{file}: expected arrays without pickles. {error}") from error
    _check(file, vectors, labels, split)
    return vectors, labels, split, names


def _one_of(arrays, names):
    found = next((name for name in names if name in arrays), None)
    if found is None:
        raise KeyError(f"Expected the array {' or '.join(names)}. Received: {sorted(arrays)}")
    return arrays[found]


def _check(file, vectors, labels, split):
    shapes = [array.shape for array in (vectors, labels, split) if array is not None]
    is_whole = vectors.ndim == 2 and all(shape == vectors.shape[:1] for shape in shapes[1:])
    if not is_whole or vectors.dtype.kind != "f" or 0 in vectors.shape:
        raise ValueError(
            f"{file}: expected float vectors [n, dim] and a label (and a split) for each. "
            f"Received: shapes {', '.join(map(str, shapes))}, vectors of {vectors.dtype}"
        )
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise ValueError(
            f"{file}: expected finite vectors. Received: nan or inf in {len(broken)}, first in "
            f"row {broken[0]}"
        )
    odd = [] if split is None else sorted(set(split.tolist()) - set(SPLITS))
    if odd:
        raise ValueError(f"{file}: expected split to be one of {SPLITS}. Received: {odd[0]!r}")


def _set(vectors, labels, names):
    keys, numbers = np.unique(labels, return_inverse=True)
    return image_set.ImageSet(
        images=vectors.astype(np.float32),
        labels=numbers.reshape(-1),
        class_names=[str(key) for key in keys.tolist()],
        names=() if names is None else [str(name) for name in names],
    )
