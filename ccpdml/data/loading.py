"""The one entry to every data set: name -> class-disjoint splits."""

import inspect
from pathlib import Path

import gin
import numpy as np
from absl import logging

from ccpdml.bounds import Count, Whole, checked
from ccpdml.data import (
    cars,
    characters,
    checks,
    cub,
    decoding,
    digits,
    doctor,
    features,
    folder,
    glyphs,
    identity,
    image_set,
    inshop,
    sop,
    table,
)
from ccpdml.data import folds as class_folds

BENCHMARKS = {b.name: b for b in (cub.BENCHMARK, cars.BENCHMARK, sop.BENCHMARK, inshop.BENCHMARK)}
READERS = {
    **{name: benchmark.read for name, benchmark in BENCHMARKS.items()},
    "folder": folder.read,
    "csv": table.read,
    "digits": digits.read,
    "glyphs": glyphs.read,
    "characters": characters.read,
    "features": features.read,
}
_MAX_SHOWN = 5


@gin.configurable(module="data")
@checked
def load(
    name: str,
    root: str | Path | None = None,
    fold: Whole = 0,
    num_folds: Count = 4,
    folds: str = "ccp",
    verify_counts: bool = True,
    skip_corrupt: bool = False,
    **options,
) -> image_set.Splits:
    """Reads a data set and cuts its development classes into training and validation classes.

    Args:
        name: a key of `READERS`.
        root: folder that holds the data sets, or the data set itself; None takes $CCPDML_DATA,
            else ~/.ccpdml/data.
        fold: which fold validates, int in 0..num_folds-1.
        num_folds: number of folds by class. 1 asks for no validation classes at all: every
            development class trains and `validation` is None.
        folds: fold definition, 'ccp' or 'mlrc' (see `ccpdml.data.folds`).
        verify_counts: whether to refuse a benchmark whose counts differ from the published ones.
        skip_corrupt: whether to open every image first and leave out those that cannot be
            decoded; they are logged and counted in `info`. Takes minutes for a large data set.
        **options: further arguments of the reader, for data sets that have some: `characters.read`
            (`data.load.script = 'kana'` in a gin file).

    Returns:
        `image_set.Splits`.

    Raises:
        FileNotFoundError: if the data set is not there; says how to get it.
        ValueError: if the name is unknown, a fold is out of range or the data set is not whole.
    """
    source = read(name, root, **options)
    _refuse(name, checks.problems(source, verify_counts))
    source, train, validation = class_folds.split(source, folds, num_folds, fold)
    development = source.development
    parts = {
        "train": development.select_classes(train),
        "validation": development.select_classes(validation) if len(validation) else None,
        "test": source.test,
        "gallery": source.gallery,
    }
    parts = {part: images for part, images in parts.items() if images is not None}
    info = {"name": name, "layout": source.layout}
    # Before anything is left out: what can be read is no part of what the data are.
    info["data"] = identity.describe(parts)
    info |= {"folds": folds, "num_folds": num_folds, "fold": fold}
    info["train_classes"], info["validation_classes"] = _ranges(train), _ranges(validation)
    if skip_corrupt:
        parts, info["skipped"] = _without_corrupt(parts)
    # Whether these are the published images, all of them and no others.
    is_whole = not any(info.get("skipped", {}).values())
    info["counts_verified"] = bool(source.published) and verify_counts and is_whole
    info["counts"] = {
        part: {"images": len(images), "classes": images.num_classes}
        for part, images in parts.items()
    }
    optional = {"validation": None, "gallery": None}
    return image_set.Splits(**(optional | parts), info=info)


def read(name, root=None, **options):
    """Reads a data set as it is on disk, checking nothing but its lists; see `load`.

    Returns:
        `source.Source`.
    """
    if name not in READERS:
        raise ValueError(f"`name` must be one of {sorted(READERS)}. Received: {name=}")
    known = list(inspect.signature(READERS[name]).parameters)[1:]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        options = f"the options {', '.join(known)}" if known else "no options"
        raise ValueError(
            f"The data set {name!r} has {options} of its own. Received: {', '.join(unknown)}"
        )
    return READERS[name](root, **options)


def _refuse(name, problems):
    if problems:
        shown = problems[:_MAX_SHOWN]
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more")
        raise ValueError(
            "\n  ".join([f"The data set {name!r} is not as expected:", *shown])
            + f"\n`python experiments/check_data.py --dataset={name}` checks it thoroughly. "
            "`data.load.verify_counts = False` accepts other counts."
        )


def _without_corrupt(parts):
    """The parts without files that cannot be decoded, and how many those were in each."""
    kept, skipped = {}, {}
    for part, images in parts.items():
        readable = np.ones(len(images), bool)
        if not images.in_memory:
            readable = doctor.read_all(images.images) >= 0
        for path in images.images[~readable]:
            logging.warning("Skipped %s: %s", path, decoding.why_unreadable(path))
        kept[part] = images.select(np.flatnonzero(readable))
        skipped[part] = int(np.sum(~readable))
    return kept, skipped


def _ranges(class_ids):
    """Ascending ids as [[first, last], ...], which is short and survives JSON."""
    ranges = []
    for class_id in class_ids.tolist():
        if ranges and class_id == ranges[-1][1] + 1:
            ranges[-1][1] = class_id
        else:
            ranges.append([class_id, class_id])
    return ranges
