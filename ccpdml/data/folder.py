"""Your own images, sorted into one folder per class."""

from ccpdml.data import benchmark
from ccpdml.data.source import Source, files

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
LEFT_OUT = (".", "__MACOSX")


def read(root=None):
    """Reads `train/<class>/*.jpg` and `test/<class>/*.jpg`, or one `<class>/*.jpg`.

    In the second form the first half of the classes, by name, develops and the other half tests.
    Left out are files that are no images, hidden ones, and what macOS adds to archives.

    Raises:
        FileNotFoundError: if there is no such folder, or no images in it.
        ValueError: if a class is in train and in test.
    """
    root = benchmark.data_root(root)
    if not root.is_dir():
        raise FileNotFoundError(
            "Expected a folder with train/<class>/*.jpg and test/<class>/*.jpg, or with "
            f"<class>/*.jpg. Received: {root}, which does not exist; set --data_root."
        )
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = _classes(root / "train"), _classes(root / "test")
        layout = "train and test"
    else:
        everything = _classes(root)
        names = sorted(everything)
        train = {name: everything[name] for name in names[: len(names) // 2]}
        test = {name: everything[name] for name in names[len(names) // 2 :]}
        layout = "one folder, split by class"
    check_disjoint(root, train, test)
    return Source(_image_set(root, train), _image_set(root, test), layout=layout)


def check_disjoint(origin, train, test):
    """Refuses classes to train on that are tested on, and parts without a class."""
    both = sorted(set(train) & set(test))
    if both:
        raise ValueError(
            f"{origin}: expected other classes in test than in train (retrieval of unseen "
            f"classes). Received: {len(both)} in both, e.g. {both[0]!r}. Without a split given, "
            "the classes are halved."
        )
    if not train or not test:
        raise FileNotFoundError(
            f"{origin}: expected images of at least one class to train on and one to test on. "
            f"Received: {len(train)} and {len(test)} classes"
        )


def _classes(folder):
    """{class name: paths of its images} of the folders with images."""
    classes = {}
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        if class_folder.name.startswith(LEFT_OUT):
            continue
        images = sorted(path for path in class_folder.rglob("*") if is_image(path))
        if images:
            classes[class_folder.name] = images
    return classes


def is_image(path):
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(LEFT_OUT)


def _image_set(root, classes):
    paths = [path.relative_to(root) for images in classes.values() for path in images]
    labels = [name for name, images in classes.items() for _ in images]
    return files(root, paths, labels)
