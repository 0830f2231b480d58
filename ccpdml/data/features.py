"""Stored features: vectors of images that another network has seen, and their classes."""

import json
from pathlib import Path

import numpy as np

from ccpdml.data import benchmark, folder, image_set, source, stored

DEFAULT_FILE = "features.npz"
ABOUT = "features.json"  # Of what they are features.
VECTORS, CLASSES = ("features", "embeddings"), ("labels", "classes")
OPTIONAL = ("split", "paths")
SPLITS = ("train", "val", "test")


def read(root: str | Path | None = None) -> source.Source:
    """Reads vectors and their classes, from whatever network.

    They are the arrays of an .npz file, or `.npy` files of these names in a folder:
        `features` (or `embeddings`): float [n, dim], or [n, views, dim] of several views of each
            image; in a folder it may be cut by rows into `features-00000.npy`, ..., and is mapped,
            not read: only rows in use are in memory;
        `labels` (or `classes`): int or str [n];
        `split`, if wanted: str [n], "train", "val" or "test"; without it the first half of the
            classes, in order, develops and the other half tests;
        `paths`, if wanted: a name for each image, str [n].
    `ccpdml store-features` and `ccpdml embed --features` write such folders; what `ccpdml embed`
    writes without it is such a file, of embeddings that are normalized already.

    Args:
        root: the file, or the folder; a folder may also hold a `features.npz`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not as described, a vector is not finite, or its class is not known.
    """
    place = benchmark.data_root(root)
    place = place / DEFAULT_FILE if (place / DEFAULT_FILE).is_file() else place
    found = _of_folder(place) if place.is_dir() else _of_file(place)
    _check(place, found)
    vectors, labels, rule = found["vectors"], found["labels"], ""
    split, names = found.get("split"), found.get("paths")
    if split is None:
        train, _, rule = folder.halves(place, labels.tolist())
        split = np.where(np.isin(labels, train), "train", "test")
    rows = {part: np.flatnonzero(split == part) for part in SPLITS}
    absent = [part for part in ("train", "test") if not len(rows[part])]
    if absent:
        raise ValueError(
            f"{place}: expected vectors to train and to test on. Received: none of {absent}"
        )
    sets = {part: _set(vectors, labels, names, own) for part, own in rows.items() if len(own)}
    views = f" in {vectors.shape[1]} views" if vectors.ndim == 3 else ""
    return source.Source(
        development=sets["train"],
        validation=sets.get("val"),
        test=sets["test"],
        layout=f"{len(vectors)} vectors of {vectors.shape[-1]}{views}",
        rule=rule,
        features_of=found.get("network"),
    )


def _of_file(file):
    """Arrays of an .npz file: `vectors`, `labels`, and `split` and `paths` if they are there."""
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected an .npz file with {VECTORS[0]} [n, dim] and {CLASSES[0]} [n], or a folder "
            f"with {VECTORS[0]}.npy and {CLASSES[0]}.npy. Received: {file}, which does not exist; "
            "set --data_root."
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {"vectors": _one_of(arrays, VECTORS), "labels": _one_of(arrays, CLASSES)}
            return found | {name: arrays[name] for name in OPTIONAL if name in arrays}
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected an .npz of arrays without pickles. {error}") from error


def _of_folder(place):
    """The same of the .npy files in a folder; the vectors stay in theirs."""
    whole = [place / f"{name}.npy" for name in VECTORS if (place / f"{name}.npy").is_file()]
    shards = whole[:1] or sorted(place.glob(f"{VECTORS[0]}-*.npy"))
    labels = [place / f"{name}.npy" for name in CLASSES if (place / f"{name}.npy").is_file()]
    if not shards or not labels:
        raise FileNotFoundError(
            f"Expected {DEFAULT_FILE}, or {VECTORS[0]}.npy (or {VECTORS[0]}-00000.npy, ...) and "
            f"{CLASSES[0]}.npy in {place}. Received: "
            f"{', '.join(sorted(path.name for path in place.iterdir())[:5]) or 'an empty folder'}"
        )
    there = {name: place / f"{name}.npy" for name in OPTIONAL if (place / f"{name}.npy").is_file()}
    texts = {name: _array(path) for name, path in {"labels": labels[0], **there}.items()}
    return {"vectors": stored.open_shards(shards), "network": _network(place / ABOUT), **texts}


def _network(path):
    """Fingerprint of the network that the features are of, or None."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())["network"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a JSON object that names the `network`; without the file, features "
            f"are of an unknown one. {type(error).__name__}: {error}"
        ) from error


def _array(path):
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: expected an array without pickles. {error}") from error


def _one_of(arrays, names):
    found = next((name for name in names if name in arrays), None)
    if found is None:
        raise KeyError(f"Expected the array {' or '.join(names)}. Received: {sorted(arrays)}")
    return arrays[found]


def _check(place, found):
    vectors = found["vectors"]
    shapes = {name: array.shape for name, array in found.items() if name != "network"}
    is_whole = all(shapes[name] == vectors.shape[:1] for name in shapes if name != "vectors")
    if not is_whole or vectors.ndim not in (2, 3) or vectors.dtype.kind != "f" or not vectors.size:
        raise ValueError(
            f"{place}: expected float vectors [n, dim] or [n, views, dim], and a label (and a "
            "split, and a path) for each. Received: shapes "
            f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}, vectors of "
            f"{vectors.dtype}"
        )
    if not isinstance(vectors, stored.StoredVectors):  # Those are checked where they are mapped.
        stored.check_finite(place, vectors)
    _check_labels(place, found["labels"])
    odd = sorted(set(found.get("split", np.array([])).tolist()) - set(SPLITS))
    if odd:
        raise ValueError(f"{place}: expected split to be one of {SPLITS}. Received: {odd[0]!r}")


def _check_labels(place, labels):
    """Raises ValueError at a vector whose class is not known: it would be in a class of its own."""
    is_text = labels.dtype.kind in "SU"
    rows = np.flatnonzero(labels == labels.dtype.type() if is_text else labels != labels)
    if len(rows):
        raise ValueError(
            f"{place}: expected a class for each vector; leave the others out. Received: "
            f"{len(rows)} without (an empty text, or nan), first in row {rows[0]}"
        )


def _set(vectors, labels, names, rows):
    keys, numbers = np.unique(labels[rows], return_inverse=True)
    is_stored = isinstance(vectors, stored.StoredVectors)
    return image_set.ImageSet(
        images=vectors.select(rows) if is_stored else vectors[rows].astype(np.float32),
        labels=numbers.reshape(-1),
        class_names=tuple(str(key) for key in keys.tolist()),
        names=() if names is None else tuple(str(name) for name in names[rows]),
    )
