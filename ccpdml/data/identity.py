"""The identity of data: a short description by which a run knows its own again.

Two data sets are the same if their parts list files of the same names and sizes, with the same
classes, in the same order, and if the files that are looked into begin with the same bytes: all
files of a part, or `MOST_OPENED` spread over it. So 120,000 files take a second or two. For images
in memory, all pixels count. Where files lie does not matter: a moved data set is the same one.
"""

import concurrent.futures
import hashlib
import os
from typing import Any

import numpy as np

from ccpdml.data import stored
from ccpdml.data.image_set import ImageSet, Splits

MOST_OPENED = 1000
"""Files of a part that are looked into."""
NUM_BYTES = 2**15
"""Of each file that is looked into: its first ones."""


def describe(parts: dict[str, ImageSet]) -> dict[str, Any]:
    """Describes data that are cut into parts.

    Args:
        parts: `ImageSet` by the name of the part, such as "train"; a part may be None.

    Returns:
        Dict ready for JSON: `root`, the folder that all files lie in (None for pixels in memory),
        and by name of the part in `parts`, dicts of `images` and `classes` (their numbers), and of
        the digests (str) `class_names` and `digest`, of all but the `categories`, which have one of
        their own where they are known.

    Raises:
        FileNotFoundError: if a file is not there.
    """
    parts = {name: images for name, images in parts.items() if images is not None}
    folders = {f for images in parts.values() for f in _folders(images)}
    root = os.path.commonpath(folders) if folders else None
    sizes = _Sizes()
    return {
        "root": root,
        "parts": {name: _describe(images, root, sizes) for name, images in parts.items()},
    }


def of(splits: Splits) -> dict[str, Any]:
    """The description of splits: what `data.load` says of them, else what they are now."""
    names = ("train", "validation", "test", "gallery")
    return splits.info.get("data") or describe({name: getattr(splits, name) for name in names})


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of two descriptions, a line for each part; where they lie is no difference.

    Nor is it one that only one of them, such as that of an older run, knows of categories.
    """
    lines = []
    for name in sorted(then["parts"] | now["parts"]):
        one, other = then["parts"].get(name), now["parts"].get(name)
        if _are_different(one, other):
            lines.append(f"{name}: {_spell(one)} then, {_spell(other)} now{_of_what(one, other)}")
    return lines


def summary(description: dict[str, Any]) -> str:
    """One digest (str of 16 hexadecimal digits) of all that must be the same."""
    lines = [f"{name} {part['digest']}" for name, part in sorted(description["parts"].items())]
    return _digest(lines)


def _describe(images, root, sizes):
    lines = _lines_of_pixels(images) if images.in_memory else _lines_of_files(images, root, sizes)
    names = _digest(images.class_names)
    labels = hashlib.sha256(images.labels.tobytes())
    if images.several is not None:
        labels.update(images.several.tobytes())
    categories = {"categories": _digest(images.categories)} if images.categories else {}
    return {
        "images": len(images),
        "classes": images.num_classes,
        "class_names": names,
        "digest": _digest([names, labels.hexdigest(), *lines]),
        **categories,
    }


def _are_different(one, other):
    if one is None or other is None:
        return one is not other
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _lines_of_pixels(images):
    whole = hashlib.sha256()
    for start in range(0, len(images), stored.BLOCK):
        whole.update(np.ascontiguousarray(images.images[start : start + stored.BLOCK]))
    return [str(images.images.shape), whole.hexdigest()]


def _lines_of_files(images, root, sizes):
    places = {folder: os.path.relpath(folder, root) for folder in _folders(images)}
    for path in images.paths:
        folder, name = _parted(path)
        yield f"{places[folder]}/{name} {sizes.of(folder, name)}"
    rows = np.linspace(0, len(images) - 1, min(len(images), MOST_OPENED)).astype(int)
    with concurrent.futures.ThreadPoolExecutor() as pool:  # Most of it is waiting for the disk.
        yield from pool.map(_beginning, images.images[rows])


def _beginning(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(NUM_BYTES)).hexdigest()


def _folders(images):
    return set() if images.in_memory else {_parted(path)[0] for path in images.paths}


def _parted(path):
    folder, name = os.path.split(path)
    return os.path.abspath(folder), name


class _Sizes:
    """Sizes of files in bytes, each folder read once: quick on a network, too."""

    def __init__(self):
        self.folders = {}

    def of(self, folder, name):
        if folder not in self.folders:
            with os.scandir(folder) as entries:
                self.folders[folder] = {e.name: e.stat().st_size for e in entries if e.is_file()}
        if name not in self.folders[folder]:
            raise FileNotFoundError(f"Expected an image file. Received: {folder}/{name}")
        return self.folders[folder][name]


def _digest(lines):
    whole = hashlib.sha256()
    for line in lines:
        whole.update(f"{len(line)} {line}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()[:16]


def _spell(part):
    return f"{part['images']} images of {part['classes']} classes" if part else "not there"


def _of_what(one, other):
    if one is None or other is None or _spell(one) != _spell(other):
        return ""
    if one["class_names"] != other["class_names"]:
        return ", with other class names"
    if one["digest"] == other["digest"]:
        return ", with other categories"
    return ", with other files, labels or order"
