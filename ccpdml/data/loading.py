"""The one entry to every data set: name -> class-disjoint splits."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gin
import numpy as np
from absl import logging

from ccpdml import bounds
from ccpdml.bounds import Count, Whole, checked
from ccpdml.data import (
    benchmark,
    cars,
    characters,
    checks,
    cub,
    decoding,
    digits,
    doctor,
    features,
    folder,
    folds,
    glyphs,
    identity,
    image_set,
    inshop,
    sop,
    table,
)
from ccpdml.data.source import Reader, Source

BENCHMARKS = {b.name: b for b in (cub.BENCHMARK, cars.BENCHMARK, sop.BENCHMARK, inshop.BENCHMARK)}
READERS: dict[str, Reader] = {
    **{name: about.read for name, about in BENCHMARKS.items()},
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
    name: str | Callable[..., Source],
    root: str | Path | None = None,
    fold: Whole = 0,
    num_folds: Count | None = None,
    folds: str = "ccp",
    verify_counts: bool = True,
    skip_corrupt: bool = False,
    closed_set: bool = False,
    **options,
) -> image_set.Splits:
    """Reads a data set and cuts its development classes into training and validation classes.

    Args:
        name: a key of `READERS`, or a reader of one's own: function of (root, ...) ->
            `data.source.Source`.
        root: folder that holds the data sets, or the data set itself; None takes $CCPDML_DATA,
            else ~/.ccpdml/data.
        fold: which fold validates, int in 0..num_folds-1.
        num_folds: number of folds by class. None takes the validation classes that the data set
            sets apart itself; where there are none, 4 folds, or fewer if one of 4 had but one
            class. 1 asks for no validation classes at all: every development class trains and
            `validation` is None.
        folds: fold definition, 'ccp' or 'mlrc' (see `ccpdml.data.folds`).
        verify_counts: whether to refuse a benchmark whose counts differ from the published ones.
        skip_corrupt: whether to open every image first and leave out those that cannot be
            decoded; they are logged and counted in `info`. Takes minutes for a large data set.
        closed_set: whether the classes to test on are those that are trained on: test images of
            known classes, each searched among the others. That is another, easier question than
            the retrieval of unseen classes, and `info` says so. A fold then is a share of the
            images of each class, unless the data set has a part to validate on.
        **options: further arguments of the reader, for data sets that have some: `characters.read`
            (`data.load.script = 'kana'` in a gin file).

    Returns:
        `image_set.Splits`. A class of which validation or test have but one image has no answer
        there: it is left out of them, logged, and counted in `info`, which also says what else was
        left out and how classes were divided.

    Raises:
        FileNotFoundError: if the data set is not there; says how to get it.
        ValueError: if the name is unknown, a fold is out of range or the data set is not whole.
    """
    source = read(name, root, **options)
    name = name if isinstance(name, str) else name.__name__
    problems = checks.problems(source, verify_counts, closed_set)
    if skip_corrupt:
        problems = [line for line in problems if not line.startswith("format: ")]
    _refuse(name, problems)
    cut = _cut_images if closed_set else _cut_classes
    parts, cut_info = cut(source, folds, num_folds, fold)
    parts |= {"test": parts.get("test", source.test), "gallery": source.gallery}
    parts = {part: images for part, images in parts.items() if images is not None}
    info = _told_of(name, source) | {"closed_set": closed_set}
    # Before anything is left out: what can be read is no part of what the data are.
    info["data"] = identity.describe(parts)
    info |= cut_info
    info["left_out"] = _told_left_out(source)
    if skip_corrupt:
        parts, info["skipped"] = _without_corrupt(parts)
    parts, info["alone"] = _without_alone(parts)
    if parts["train"].num_classes < 2:
        raise ValueError(
            f"Expected at least 2 classes to train on. Received: {parts['train'].num_classes}"
        )
    # Whether these are the published images, all of them and no others.
    is_whole = not any(info.get("skipped", {}).values())
    info["counts_verified"] = bool(source.published) and verify_counts and is_whole
    info["counts"] = {
        part: {"images": len(images), "classes": images.num_classes} | _told_labels(images)
        for part, images in parts.items()
    }
    if source.rule:
        logging.info("%s: %s", source.layout, source.rule)
    optional = {"validation": None, "gallery": None}
    return image_set.Splits(**(optional | parts), info=info)


def _cut_classes(source, definition, num_folds, fold):
    """Parts to train on, to validate on and to test on by class, and what `info` says of them."""
    info = {"folds": definition, "num_folds": num_folds, "fold": fold}
    if source.validation is not None and num_folds is None and definition == "ccp":
        parts = {"train": source.development, "validation": source.validation, "test": source.test}
        return parts, info | {"folds": "the data set's own validation classes"}
    if source.development.several is not None and (num_folds, definition) != (1, "ccp"):
        raise ValueError(
            "Images with several labels cannot be cut into folds by label. Give rows of split val, "
            "bind data.load.closed_set = True (a fold is then a share of the images), or "
            "data.load.num_folds = 1 and train.select_on = 'test' (scores then flatter). "
            f"Received: {num_folds=}, folds={definition!r}"
        )
    if source.validation is not None:
        together = source.development.joined(source.validation)
        source = dataclasses.replace(source, development=together, validation=None)
    folds.check(definition)
    num_folds = num_folds or folds.default_number(source, definition, fold)
    source, train, validation = folds.split(source, definition, num_folds, fold)
    parts = {
        "train": source.development.select_classes(train),
        "validation": source.development.select_classes(validation) if len(validation) else None,
        "test": source.test,
    }
    info["num_folds"] = num_folds
    info["train_classes"], info["validation_classes"] = _ranges(train), _ranges(validation)
    return parts, info


def _cut_images(source, definition, num_folds, fold):
    """Parts in a closed set, otherwise as of `_cut_classes`: all classes are in every part."""
    del definition  # Of folds by class.
    info = {"folds": "images of each class", "num_folds": num_folds or 4, "fold": fold}
    train, validation = source.development, source.validation
    if validation is not None and num_folds is None:
        return {"train": train, "validation": validation}, info | {"num_folds": None}
    if not 0 <= fold < info["num_folds"]:
        raise ValueError(f"`fold` must be in 0..{info['num_folds'] - 1}. Received: {fold=}")
    if info["num_folds"] > 1 and validation is None:
        held = folds.by_image(train, info["num_folds"], fold)
        validation = train.select(held)
        train = _nonempty(train.select(np.setdiff1d(np.arange(len(train)), held)))
    return {"train": train, "validation": validation if info["num_folds"] > 1 else None}, info


def _told_of(name, source):
    """Origin of the data, for `info`."""
    info = {"name": name, "layout": source.layout, "rule": source.rule}
    return info | ({"features_of": source.features_of} if source.features_of else {})


def _told_labels(images):
    """Number of the categories and labels of a part, for `info`, where there are some."""
    told = {}
    if images.categories:
        told["categories"] = len(set(images.categories))
    if images.several is not None:
        told["labels per image"] = round(float(images.several.sum(axis=1).mean()), 2)
    return told


def _told_left_out(source):
    """Number and first few of the files that the reader left out; logs them."""
    if source.left_out:
        first = "; ".join(source.left_out[:_MAX_SHOWN])
        logging.warning("%d files and folders are left out: %s", len(source.left_out), first)
    return {"count": len(source.left_out), "first": list(source.left_out[:_MAX_SHOWN])}


def _without_alone(parts):
    """The parts without queries that have no answer, and how many those were in each."""
    kept, counts = dict(parts), {}
    for part in ("validation", "test"):
        images, gallery = parts.get(part), parts.get("gallery") if part == "test" else None
        if images is None:
            continue
        alone, is_alone = checks.alone(images, gallery), checks.are_alone(images, gallery)
        counts[part] = int(np.sum(is_alone))
        if is_alone.all():
            raise ValueError(
                f"Expected a class of which {part} has two images (or an image in the gallery): "
                f"retrieval looks for the others of a class. Received: {len(images)} images, "
                f"each alone in its class, e.g. {images.paths[0]}"
            )
        if alone:
            shown = ", ".join(alone[:_MAX_SHOWN])
            logging.warning(
                "%d images are left out of %s, as there is no other of their class: %s%s",
                *(counts[part], part, shown, ", ..." if len(alone) > _MAX_SHOWN else ""),
            )
            kept[part] = images.select(np.flatnonzero(~is_alone))
            if gallery is None:
                kept[part] = _nonempty(kept[part])
    return kept, counts


def _nonempty(images):
    """The image set without the classes that have no image."""
    return images.select_classes(images.present)


def read(
    name: str | Callable[..., Source], root: str | Path | None = None, **options: object
) -> Source:
    """Reads a data set as it is on disk, checking nothing but its lists; see `load`.

    Returns:
        `source.Source`.
    """
    if isinstance(name, str) and name not in READERS:
        raise ValueError(
            f"`name` must be one of {sorted(READERS)}, or a reader of your own: a function of "
            f"(root, ...) -> `data.source.Source`. Received: {name=}"
        )
    reader = READERS[name] if isinstance(name, str) else name
    name = name if isinstance(name, str) else name.__name__
    known = list(inspect.signature(reader).parameters)[1:]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        takes = f"the options {', '.join(known)}" if known else "no options"
        raise ValueError(
            f"The data set {name!r} has {takes} of its own. Received: {', '.join(unknown)}"
        )
    declared = bounds.declared(reader)
    for option, value in options.items():
        if not bounds.fits(value, declared.get(option, Any)):
            raise ValueError(bounds.complaint(f"data.load.{option}", value, declared[option]))
    found = reader(benchmark.data_root(root), **options)
    if not isinstance(found, Source):
        raise ValueError(
            f"The reader {name!r} must return a `data.source.Source`; what gives `data.Splits` is "
            f"bound to `train.data` itself. Received: {type(found).__name__}"
        )
    return found


def _refuse(name, problems):
    if problems:
        shown = problems[:_MAX_SHOWN]
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more")
        raise ValueError(
            "\n  ".join([f"The data set {name!r} is not as expected:", *shown])
            + f"\n`ccpdml check-data --dataset={name}` checks it thoroughly. "
            "`data.load.verify_counts = False` accepts other counts, `data.load.skip_corrupt = "
            "True` leaves out what cannot be decoded."
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
        if part in ("train", "validation"):
            kept[part] = _nonempty(kept[part])
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
