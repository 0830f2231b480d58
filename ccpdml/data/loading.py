"""The one entry to every data set: name -> class-disjoint splits."""

import gin

from ccpdml.data import digits, glyphs, image_set
from ccpdml.data import folds as class_folds

READERS = {"digits": digits.read, "glyphs": glyphs.read}


@gin.configurable(module="data")
def load(name, root=None, fold=0, num_folds=4, folds="ccp", verify_counts=True):
    """Reads a data set and cuts its development classes into training and validation classes.

    Args:
        name: a key of `READERS`.
        root: folder that holds the data sets.
        fold: which fold validates, int in 0..num_folds-1.
        num_folds: number of folds by class. 1 asks for no validation classes at all: every
            development class trains and `validation` is None.
        folds: fold definition, 'ccp' or 'mlrc' (see `ccpdml.data.folds`).
        verify_counts: whether to refuse a benchmark whose counts differ from the published ones.

    Returns:
        `image_set.Splits`.

    Raises:
        ValueError: if the name is unknown or a fold is out of range.
    """
    if name not in READERS:
        raise ValueError(f"`name` must be one of {sorted(READERS)}. Received: {name=}")
    source = READERS[name](root)
    train, validation = class_folds.split(source.development, folds, num_folds, fold)
    parts = {
        "train": source.development.select_classes(train),
        "validation": source.development.select_classes(validation) if len(validation) else None,
        "test": source.test,
        "gallery": source.gallery,
    }
    info = {"name": name, "folds": folds, "num_folds": num_folds, "fold": fold}
    info["train_classes"], info["validation_classes"] = _ranges(train), _ranges(validation)
    info["counts"] = {
        part: {"images": len(images), "classes": images.num_classes}
        for part, images in parts.items()
        if images is not None
    }
    return image_set.Splits(**parts, info=info)


def _ranges(class_ids):
    """Ascending ids as [[first, last], ...], which is short and survives JSON."""
    ranges = []
    for class_id in class_ids.tolist():
        if ranges and class_id == ranges[-1][1] + 1:
            ranges[-1][1] = class_id
        else:
            ranges.append([class_id, class_id])
    return ranges
