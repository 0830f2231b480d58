"""Your own images, listed in a CSV file."""

import functools
from pathlib import Path

from ccpdml.data import benchmark, folder, listing
from ccpdml.data.source import Source, files

DEFAULT_FILE = "images.csv"
SPLITS = ("train", "val", "test")
ROLES = ("query", "gallery")
_LABELS = "labels of the image"


def read(
    root: str | Path | None = None,
    category_column: str | None = None,
    label_column: str = "label",
    label_separator: str | None = None,
) -> Source:
    """Reads a CSV file with the columns `path,label` and, if wanted, `split` and `role`.

    `path` is relative to the file; `split` is 'train', 'test' or 'val', without it the labels are
    divided by name (`folder.halves`); `role` of a test image is 'query' or 'gallery'.

    Args:
        root: the CSV file, or a folder with an `images.csv`.
        category_column: name of the column that has the category (super-class) of each label; None
            leaves them without.
        label_column: name of the column that has the labels.
        label_separator: text between the labels of an image that has several, such as '|'; None
            takes a value as one label. Needs `split`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not as described, or a label is in two categories.
    """
    file = benchmark.data_root(root)
    file = file / DEFAULT_FILE if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(
            "Expected a CSV file with the columns path,label[,split][,role]. "
            f"Received: {file}, which does not exist; set --data_root."
        )
    if label_separator == "":
        raise ValueError(
            "`data.load.label_separator` must be the text between labels, such as '|', or None. "
            f"Received: {label_separator=}"
        )
    columns = (category_column,) if category_column else ()
    rows = listing.table(file, required=("path", label_column, *columns))
    rows = [row | {_LABELS: _labels_of(file, row[label_column], label_separator)} for row in rows]
    categories = _categories(file, rows, category_column) if category_column else None
    splits, rule = _column(file, rows, "split", SPLITS), ""
    if not any(splits):
        _refuse_undivided(file, label_separator)
        first, _, rule = folder.halves(file, _labels(rows))
        splits = ["train" if row[_LABELS][0] in first else "test" for row in rows]
    train, validation, test = (
        [row for row, split in zip(rows, splits, strict=True) if split == part] for part in SPLITS
    )
    if not train or not test:
        raise ValueError(
            f"{file}: expected rows with split train and rows with split test. "
            f"Received: {len(train)} and {len(test)}"
        )
    make = functools.partial(_image_set, file, categories, label_separator is not None)
    queries, gallery = _queries_and_gallery(file, test, make)
    return Source(
        development=make(train),
        validation=make(validation) if validation else None,
        test=queries,
        gallery=gallery,
        rule=rule,
        layout="no gallery" if gallery is None else "query and gallery",
    )


def _categories(file, rows, column):
    """{label: category}, of the column that has the categories."""
    categories = {}
    for row in rows:
        (label, *others), category = row[_LABELS], row[column]
        if others:
            raise ValueError(
                f"{file}: expected one label of each image, whose category it is. Received: labels "
                f"{[label, *others]} of {row['path']}; leave data.load.category_column unbound"
            )
        if categories.setdefault(label, category) != category:
            raise ValueError(
                f"{file}: expected the images of a label in one category, as batches and scores "
                f"are divided by it. Received: label {label!r} in {categories[label]!r} and, for "
                f"{row['path']}, in {category!r} of the column {column!r} "
                "(data.load.category_column)"
            )
    return categories


def _queries_and_gallery(file, rows, make):
    """Test rows as two image sets by their roles; without roles all are queries, the other None."""
    roles = _column(file, rows, "role", ROLES)
    if not any(roles):
        return make(rows), None
    queries = [row for row, role in zip(rows, roles, strict=True) if role == "query"]
    gallery = [row for row, role in zip(rows, roles, strict=True) if role == "gallery"]
    if not queries or not gallery:
        raise ValueError(
            f"{file}: expected queries and gallery images. "
            f"Received: {len(queries)} queries and {len(gallery)} gallery images"
        )
    return make(queries, rows), make(gallery, rows)


def _column(file, rows, column, values):
    """Values of an optional column: all filled, or all empty."""
    found = [row.get(column) or "" for row in rows]
    odd = sorted(set(found) - set(values)) if any(found) else []
    if odd:
        raise ValueError(
            f"{file}: expected {column} to be one of {values} in every row it is about, or the "
            f"column to be empty. Received: {odd[0]!r}"
        )
    return found


def _labels_of(file, text, separator):
    """The labels in a value, in their order, each once."""
    labels = [text] if separator is None else [label.strip() for label in text.split(separator)]
    labels = list(dict.fromkeys(label for label in labels if label))
    if not labels:
        raise ValueError(
            f"{file}: expected labels with {separator!r} (data.load.label_separator) between them. "
            f"Received: {text!r}"
        )
    return labels


def _refuse_undivided(file, separator):
    if separator is not None:
        raise ValueError(
            f"{file}: expected the column split, 'train', 'test' or 'val' of each row: images with "
            "several labels (data.load.label_separator) cannot be divided by label. Received: none"
        )


def _labels(rows):
    return [row[_LABELS][0] for row in rows]


def _image_set(file, categories, have_several, rows, rows_of_all_classes=None):
    return files(
        file.parent,
        [row["path"] for row in rows],
        _labels(rows),
        all_classes=[label for row in rows_of_all_classes or rows for label in row[_LABELS]],
        categories=categories,
        several=[row[_LABELS] for row in rows] if have_several else None,
    )
