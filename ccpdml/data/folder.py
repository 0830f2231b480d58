"""Your own images, sorted into one folder per class."""

import os
from pathlib import Path

from ccpdml.data import benchmark, decoding
from ccpdml.data.source import Source, files

EXTENSIONS = decoding.EXTENSIONS
LEFT_OUT = (".", "__MACOSX")
PARTS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "val")
"""What a folder of a part is called, in small letters, and which part it is."""


def read(root: str | Path | None = None) -> Source:
    """Reads `train/<class>/*.jpg` and `test/<class>/*.jpg`, or one `<class>/*.jpg`.

    `val/<class>/*.jpg` (or `valid`, `validation`) validates where it is there; without `test` it
    tests. Classes of one folder, or of `train` alone, are divided by name: see `halves`. A folder
    with nothing but one folder of folders is that one. Left out, and named in `left_out`, are files
    that are no images and folders without any; hidden files and what macOS adds to archives are not
    even named. Links are followed.

    Raises:
        FileNotFoundError: if there is no such folder, or no images in it.
    """
    root = benchmark.data_root(root)
    if not root.is_dir():
        raise FileNotFoundError(
            "Expected a folder with train/<class>/*.jpg and test/<class>/*.jpg, or with "
            f"<class>/*.jpg. Received: {root}, which does not exist; set --data_root."
        )
    root, parts = _parts(root)
    rule = ""
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        rule = f"there is no test folder: {parts['test'].name} tests"
    classes, left_out = {}, []
    for part, folder in parts.items():
        classes[part], others = _classes(folder)
        left_out += others
    layout = "train and test" + (" and validation" if "val" in parts else "")
    if "test" not in parts:
        layout = "one folder, split by class"
        classes, rule = _halved(root, classes["train"])
    _refuse_empty(root, parts, classes)
    sets = {part: _image_set(root, found) for part, found in classes.items()}
    return Source(
        development=sets["train"],
        test=sets["test"],
        validation=sets.get("val"),
        layout=layout,
        rule=rule,
        left_out=tuple(left_out),
    )


def _parts(root):
    """The folder that holds them, and {"train", "test", "val": folder}; at least "train"."""
    inner = _folders(root)
    if len(inner) == 1 and inner[0].name.lower() not in PARTS and _folders(inner[0]):
        root, inner = inner[0], _folders(inner[0])
    parts = {PARTS[path.name.lower()]: path for path in inner if path.name.lower() in PARTS}
    return root, parts if "train" in parts else {"train": root}


def _halved(root, classes):
    """Classes that nobody divided as those of "train" and of "test", and the rule in words."""
    train, test, rule = halves(root, classes)
    names = {"train": train, "test": test}
    return {part: {name: classes[name] for name in own} for part, own in names.items()}, rule


def _refuse_empty(root, parts, classes):
    for part, found in classes.items():
        if not found:
            raise FileNotFoundError(
                f"{parts.get(part, root)}: expected images in folders of their class. "
                f"Received: none (train and test have {len(classes['train'])} and "
                f"{len(classes['test'])} classes)"
            )


def halves(origin, names):
    """Divides classes where nobody else has: the first half, by name, develops, the rest tests.

    Where there are few, four develop: two of them have to be left to train when two validate.

    Args:
        origin: what to call the data set.
        names: of the classes, strings.

    Returns:
        Tuple (names to develop on, names to test on, the rule in words).

    Raises:
        ValueError: if there are fewer than six.
    """
    names = sorted(set(names))
    if len(names) < 6:
        raise ValueError(
            f"{origin}: expected at least 6 classes to divide, so that two train, two validate and "
            "two test. With fewer, train and test on the same classes: divide the images of each "
            "class into train/<class> and test/<class> (in a table: by the column `split`) and "
            f"bind data.load.closed_set = True. Received: {len(names)} classes, {names}"
        )
    middle = max(len(names) // 2, 4)
    rule = (
        f"of {len(names)} classes by name the first {middle} ({names[0]} to {names[middle - 1]}) "
        f"develop, the other {len(names) - middle} ({names[middle]} to {names[-1]}) test"
    )
    return names[:middle], names[middle:], rule


def is_image(path):
    """Tells whether a file is an image by its name, of a kind that can be decoded or not."""
    kinds = EXTENSIONS + decoding.OTHER_EXTENSIONS
    return path.suffix.lower() in kinds and not path.name.startswith(LEFT_OUT)


def files_below(root):
    """All files below a folder but the hidden ones, paths; folders that are links are followed."""
    seen = set()  # Of two ways to a folder the first is taken: a link may even lead back.

    def fail(error):
        raise error

    for folder_name, folders, names in os.walk(root, followlinks=True, onerror=fail):
        real = os.path.realpath(folder_name)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(LEFT_OUT))
        yield from (Path(folder_name, name) for name in names if not name.startswith(LEFT_OUT))


def _folders(folder):
    """The folders in a folder, but the hidden ones, by name."""
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(LEFT_OUT)
    )


def _classes(folder):
    """{class name: paths of its images} of the folders with images, and what is left out."""
    classes, left_out = {}, []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(LEFT_OUT):
            left_out.append(f"{path} (in no folder of a class)")
    for class_folder in _folders(folder):
        found = sorted(files_below(class_folder))
        images = [path for path in found if is_image(path)]
        left_out += [f"{path} (no image by its name)" for path in found if not is_image(path)]
        if images:
            classes[class_folder.name] = images
        else:
            left_out.append(f"{class_folder} (a folder without images)")
    return classes, left_out


def _image_set(root, classes):
    paths = [path.relative_to(root) for images in classes.values() for path in images]
    labels = [name for name, images in classes.items() for _ in images]
    return files(root, paths, labels)
