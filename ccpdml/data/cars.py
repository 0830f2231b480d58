"""Cars196 (Stanford Cars): 196 models of cars; 1..98 develop, 99..196 test, in three layouts."""

import csv

from ccpdml.data import benchmark, listing
from ccpdml.data.source import Source, files

NUM_CLASSES = 196
# The official train/test files have every class on both sides: their union is cut by class.
LAST_DEVELOPMENT_CLASS = 98


def _read_annotated(folder):
    """Layout A: `car_ims/` and one `cars_annos.mat`."""
    file = folder / "cars_annos.mat"
    content = _load(file, "annotations", "class_names")
    rows = [(row["relative_im_path"], row["class"]) for row in _structs(content, file)]
    return _source(folder, rows, content["class_names"], file)


def _read_devkit(folder):
    """Layout B: `cars_train/`, `cars_test/` (numbered separately) and the devkit's lists."""
    meta = folder / "devkit" / "cars_meta.mat"
    labelled = "cars_test_annos_withlabels.mat"
    test = next((f for f in (folder / labelled, folder / "devkit" / labelled) if f.exists()), None)
    if test is None:
        raise FileNotFoundError(
            f"Expected {labelled} in {folder} or its devkit/: the list of the devkit itself, "
            "cars_test_annos.mat, has no labels."
        )
    rows = []
    for images, file in (
        ("cars_train", meta.with_name("cars_train_annos.mat")),
        ("cars_test", test),
    ):
        content = _load(file, "annotations")
        # By name: the order of the fields is not the one its README gives.
        rows += [(f"{images}/{row['fname']}", row["class"]) for row in _structs(content, file)]
    return _source(folder, rows, _load(meta, "class_names")["class_names"], meta)


def _read_class_folders(folder):
    """Layout C: `names.csv`, `anno_{train,test}.csv`, images in folders named after classes."""
    file = folder / "names.csv"
    names = [",".join(row) for row in _csv_rows(file)]
    rows = []
    for part in ("train", "test"):
        annotations = folder / f"anno_{part}.csv"
        for row in _csv_rows(annotations):
            # File name, four numbers of a box, class.
            label = listing.integer(row[-1], annotations, "a class id")
            class_folder = names[min(label, len(names)) - 1].replace("/", "-")
            rows.append((f"car_data/car_data/{part}/{class_folder}/{row[0]}", label))
    return _source(folder, rows, names, file)


def _load(file, *variables):
    """The named variables of a MATLAB file."""
    from scipy import io  # Here, as `import ccpdml` need not wait for it.

    try:
        content = io.loadmat(file, squeeze_me=True)
    except (ValueError, NotImplementedError, OSError, TypeError) as error:
        raise ValueError(f"{file}: expected a MATLAB 5 file. Received: {error}") from error
    absent = [name for name in variables if name not in content]
    if absent:
        raise ValueError(f"{file}: expected the variables {variables}. Received: no {absent[0]}")
    return content


def _structs(content, file):
    """The rows of `annotations`, each a struct with named fields."""
    annotations = content["annotations"]
    if not {"class"} < set(annotations.dtype.names or ()):
        raise ValueError(f"{file}: expected the field `class`. Received: {annotations.dtype.names}")
    return annotations.reshape(-1)


def _csv_rows(file):
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return [row for row in csv.reader(stream) if row]


def _source(folder, rows, names, file):
    names = {label: str(name) for label, name in enumerate(names, start=1)}
    rows = [(str(path), int(label)) for path, label in rows]
    unknown = [label for _, label in rows if label not in names]
    if unknown:
        raise ValueError(
            f"{file}: expected classes in 1..{len(names)}. Received: class {unknown[0]}"
        )
    return Source(
        development=_image_set(
            folder, [row for row in rows if row[1] <= LAST_DEVELOPMENT_CLASS], names
        ),
        test=_image_set(folder, [row for row in rows if row[1] > LAST_DEVELOPMENT_CLASS], names),
    )


def _image_set(folder, rows, names):
    return files(folder, [path for path, _ in rows], [label for _, label in rows], names)


BENCHMARK = benchmark.Benchmark(
    name="cars",
    title="Cars196 (Stanford Cars)",
    folders=("Cars196", "cars196", "CARS_196", "cars", "stanford_cars"),
    layouts=(
        benchmark.Layout(
            name="A (car_ims, cars_annos.mat)",
            markers=("car_ims", "cars_annos.mat"),
            read=_read_annotated,
        ),
        benchmark.Layout(
            name="B (cars_train, cars_test, devkit)",
            markers=(
                "cars_train",
                "cars_test",
                "devkit/cars_meta.mat",
                "devkit/cars_train_annos.mat",
            ),
            read=_read_devkit,
        ),
        benchmark.Layout(
            name="C (names.csv, anno_train.csv, anno_test.csv, car_data)",
            markers=("names.csv", "anno_train.csv", "anno_test.csv", "car_data/car_data"),
            read=_read_class_folders,
        ),
    ),
    published={"development": (8_054, 98), "test": (8_131, 98)},
    home="http://ai.stanford.edu/~jkrause/cars/car_dataset.html (its files are gone since 2023)",
    licence="unknown; in general taken as non-commercial research",
    how_to_get="the official links are dead; a copy of any of the three layouts will do, e.g. the "
    "one by class folders on Kaggle",
)
