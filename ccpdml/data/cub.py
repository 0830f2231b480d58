"""CUB-200-2011: 200 kinds of birds; 1..100 develop, 101..200 test."""

from ccpdml.data import benchmark, listing
from ccpdml.data.source import Source, files

# `train_test_split.txt` has every class on both sides: not for zero-shot retrieval, not read.
LAST_DEVELOPMENT_CLASS = 100


def _read(folder):
    names = _by_id(folder / "classes.txt")
    names = {listing.integer(key, "classes.txt", "a class id"): name for key, name in names.items()}
    path_of = _by_id(folder / "images.txt")
    class_file = folder / "image_class_labels.txt"
    class_of = _by_id(class_file)
    if path_of.keys() != class_of.keys():
        odd = sorted(path_of.keys() ^ class_of.keys())
        raise ValueError(
            f"{class_file}: expected the image ids of images.txt. Received: {len(odd)} ids that "
            f"are in one of them only, first {odd[0]}"
        )
    classes = [listing.integer(class_of[i], class_file, "a class id") for i in path_of]
    unknown = sorted(set(classes) - names.keys())
    if unknown:
        raise ValueError(f"{class_file}: expected ids of classes.txt. Received: {unknown[0]}")
    rows = list(zip(path_of.values(), classes, strict=True))
    # The folder of an image is named NNN.Class: a second opinion on its label.
    problems = [
        f"mislabelled: {path} is listed as class {label}, {names[label]}"
        for path, label in rows
        if path.split("/")[0] != names[label]
    ]
    development = [row for row in rows if row[1] <= LAST_DEVELOPMENT_CLASS]
    test = [row for row in rows if row[1] > LAST_DEVELOPMENT_CLASS]
    return Source(
        development=_image_set(folder, development, names),
        test=_image_set(folder, test, names),
        problems=tuple(problems),
    )


def _by_id(file):
    """{id: value} of a file of two columns."""
    rows = listing.rows(file, num_columns=2)
    table = dict(rows)
    if len(table) != len(rows):
        raise ValueError(
            f"{file}: expected every id once. Received: {len(rows)} rows, {len(table)} ids"
        )
    return table


def _image_set(folder, rows, names):
    paths, classes = [row[0] for row in rows], [row[1] for row in rows]
    return files(folder / "images", paths, classes, names)


BENCHMARK = benchmark.Benchmark(
    name="cub",
    title="CUB-200-2011 (Caltech-UCSD Birds)",
    folders=("CUB_200_2011", "cub", "CUB"),
    layouts=(
        benchmark.Layout(
            name="CUB_200_2011",
            markers=("images.txt", "image_class_labels.txt", "classes.txt", "images"),
            read=_read,
        ),
    ),
    published={"development": (5864, 100), "test": (5924, 100)},
    home="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    licence="none stated by the archive; in general taken as non-commercial research",
    how_to_get="unpack CUB_200_2011.tgz from https://data.caltech.edu/records/65de6-vp158, or add "
    "--download to check_data.py",
    archive=benchmark.Archive(
        url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        size=1_150_585_339,
        sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
    ),
)
