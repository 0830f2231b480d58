"""Small copies of every data set layout: the true file formats, synthetic images.

`MINIATURES[key]` is (name for `data.load`, function of a folder -> data root to load it from).
Each has `NUM_DEVELOPMENT` classes to develop on and `NUM_TEST` to test on.
"""

import csv
import zlib

import numpy as np
import scipy.io
from PIL import Image

NUM_DEVELOPMENT = 12
NUM_TEST = 4
IMAGES_PER_CLASS = 5


def write_image(path, label, mode="RGB"):
    """Writes a small picture: a pattern of its class under noise of its own."""
    pattern = np.random.default_rng(label).integers(60, 196, size=(4, 5, 3))
    noise = np.random.default_rng(zlib.crc32(path.name.encode()))
    height, width = noise.integers(36, 60, size=2)
    pixels = np.kron(pattern, np.ones((15, 12, 1)))[:height, :width]
    pixels = pixels + noise.integers(-40, 40, size=pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(path)


def cub(root):
    folder = root / "CUB_200_2011"
    classes = [*range(1, NUM_DEVELOPMENT + 1), *range(101, 101 + NUM_TEST)]
    names = {label: f"{label:03}.Bird_{label}" for label in classes}
    rows = []
    for label in classes:
        for i in range(IMAGES_PER_CLASS):
            rows.append((f"{names[label]}/Bird_{label}_{i:04}_{len(rows)}.jpg", label))
            write_image(folder / "images" / rows[-1][0], label, mode="RGB" if i else "L")
    # What macOS leaves behind in archives.
    (folder / "images" / names[1] / "._Bird.jpg").write_bytes(b"\0\5\26\7")
    _lines(folder / "classes.txt", names.items())
    _lines(folder / "images.txt", ((i, path) for i, (path, _) in enumerate(rows, 1)))
    _lines(folder / "image_class_labels.txt", ((i, row[1]) for i, row in enumerate(rows, 1)))
    _lines(folder / "train_test_split.txt", ((i, i % 2) for i, _ in enumerate(rows, 1)))
    return root


def sop(root):
    folder = root / "Stanford_Online_Products"
    supers = ("bicycle", "chair")
    image_id, label = 0, 0
    for file, num_classes in (("Ebay_train.txt", NUM_DEVELOPMENT), ("Ebay_test.txt", NUM_TEST)):
        rows = [("image_id", "class_id", "super_class_id", "path")]
        for _ in range(num_classes):
            label += 1
            kind = label % 2
            for i in range(IMAGES_PER_CLASS):
                image_id += 1
                path = f"{supers[kind]}_final/{110000000000 + label}_{i}.JPG"
                rows.append((image_id, label, kind + 1, path))
                write_image(folder / path, label)
        _lines(folder / file, rows)
    return root


def inshop(root, list_file="Eval/list_eval_partition.txt", images="img"):
    folder = root / "InShopClothesRetrievalBenchmark"
    rows = []
    for label in range(1, NUM_DEVELOPMENT + NUM_TEST + 1):
        # Items to test on lie between those to train on.
        test = label % 4 == 0
        for i in range(1, IMAGES_PER_CLASS + 1):
            path = f"WOMEN/Dresses/id_{label:08}/{i:02}_1_front.jpg"
            status = ("query" if i < 3 else "gallery") if test else "train"
            rows.append((f"img/{path}", f"id_{label:08}", status))
            write_image(folder / images / path, label)
    lines = [str(len(rows)), "image_name item_id evaluation_status"]
    lines += [f"{path:<70}{item} {status}" for path, item, status in rows]
    file = folder / list_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return root


def inshop_at_the_root(root):
    return inshop(root, "list_eval_partition.txt", "Img/img")


def inshop_of_rdml(root):
    return inshop(root, "train_test_partition.txt", "Img/img_highres")


def cars_a(root):
    folder, names, rows = root / "Cars196", *_cars()
    records = []
    for number, label in enumerate(rows, 1):
        path = f"car_ims/{number:06}.jpg"
        write_image(folder / path, label)
        records.append((path, 1, 1, 40, 30, label, number % 2))
    fields = ("relative_im_path", *_BOX, "class", "test")
    content = {"annotations": _structs(records, fields), "class_names": names}
    scipy.io.savemat(folder / "cars_annos.mat", content)
    return root


def cars_b(root):
    folder, names, rows = root / "Cars196", *_cars()
    (folder / "devkit").mkdir(parents=True)
    fields = (*_BOX, "class", "fname")
    for part, file in (
        ("train", "devkit/cars_train_annos.mat"),
        ("test", "cars_test_annos_withlabels.mat"),
    ):
        records = []
        for label in rows[part == "test" :: 2]:
            name = f"{len(records) + 1:05}.jpg"
            write_image(folder / f"cars_{part}" / name, label)
            records.append((1, 1, 40, 30, label, name))
        scipy.io.savemat(folder / file, {"annotations": _structs(records, fields)})
    scipy.io.savemat(folder / "devkit/cars_meta.mat", {"class_names": names})
    return root


def cars_c(root):
    folder, names, rows = root / "Cars196", *_cars()
    names = [name[0] for name in names[0]]
    for part in ("train", "test"):
        annotations = []
        for label in rows[part == "test" :: 2]:
            name = f"{len(annotations) + 1:05}.jpg"
            class_folder = names[label - 1].replace("/", "-")
            write_image(folder / "car_data/car_data" / part / class_folder / name, label)
            annotations.append((name, 1, 1, 40, 30, label))
        _table(folder / f"anno_{part}.csv", annotations)
    _table(folder / "names.csv", ([name] for name in names))
    return root


def folder_with_test(root):
    for part, labels in _own_classes().items():
        for label in labels:
            _own_images(root / "photos" / part / f"thing {label:02}", label)
    return root / "photos"


def folder_of_classes(root):
    # Halved by class: as many to develop on as the others have.
    for label in range(2 * NUM_DEVELOPMENT):
        _own_images(root / "photos" / f"thing {label:02}", label)
    return root / "photos"


def csv_with_gallery(root):
    rows = [("path", "label", "split", "role")]
    for part, labels in _own_classes().items():
        for label in labels:
            for i, path in enumerate(_own_images(root / "photos" / str(label), label)):
                role = ("query" if i < 2 else "gallery") if part == "test" else ""
                rows.append((path.relative_to(root), f"thing {label:02}", part, role))
    _table(root / "photos.csv", rows)
    return root / "photos.csv"


def csv_of_classes(root):
    rows = [("path", "label")]
    for label in range(2 * NUM_DEVELOPMENT):
        for path in _own_images(root / "photos" / str(label), label):
            rows.append((path.relative_to(root), f"thing {label:02}"))
    _table(root / "images.csv", rows)
    return root


MINIATURES = {
    "cub": ("cub", cub),
    "cars_a": ("cars", cars_a),
    "cars_b": ("cars", cars_b),
    "cars_c": ("cars", cars_c),
    "sop": ("sop", sop),
    "inshop": ("inshop", inshop),
    "inshop_at_the_root": ("inshop", inshop_at_the_root),
    "inshop_of_rdml": ("inshop", inshop_of_rdml),
    "folder_with_test": ("folder", folder_with_test),
    "folder_of_classes": ("folder", folder_of_classes),
    "csv_with_gallery": ("csv", csv_with_gallery),
    "csv_of_classes": ("csv", csv_of_classes),
}
_BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def _cars():
    """Names of 196 cars as MATLAB's cell array, and the class of each image."""
    names = np.empty((1, 196), object)
    names[0] = [np.array([f"Maker/Model {label}, 2012"]) for label in range(1, 197)]
    labels = [*range(1, NUM_DEVELOPMENT + 1), *range(99, 99 + NUM_TEST)]
    return names, [label for label in labels for _ in range(IMAGES_PER_CLASS)]


def _structs(records, fields):
    """Records as MATLAB's 1 x n struct array."""
    array = np.empty((1, len(records)), dtype=[(field, object) for field in fields])
    for i, record in enumerate(records):
        array[0, i] = record
    return array


def _own_classes():
    last = NUM_DEVELOPMENT + NUM_TEST
    return {"train": range(NUM_DEVELOPMENT), "test": range(NUM_DEVELOPMENT, last)}


def _own_images(folder, label):
    """Images of one class in several formats; returns their paths."""
    kinds = (("jpg", "RGB"), ("png", "RGB"), ("jpeg", "L"), ("JPG", "CMYK"), ("png", "L"))
    paths = [folder / f"{label}_{i}.{ending}" for i, (ending, _) in enumerate(kinds)]
    for path, (_, mode) in zip(paths, kinds, strict=True):
        write_image(path, label, mode)
    return paths


def _lines(file, rows):
    file.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))


def _table(file, rows):
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
