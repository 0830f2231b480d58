"""Folders and tables as people have them: what becomes of each, in numbers."""

import csv
import logging
import shutil

import pytest

from ccpdml import config, data, serving
from ccpdml.data import decoding, doctor, loading

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


def folder(root, **images):
    """Folders of classes; `images` are numbers of files by path, with two blanks for a slash."""
    for place, number in images.items():
        for i in range(number):
            path = root / place.replace("__", "/") / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(JPEG + f"{place} {i}".encode())
    return root


def classes(part, names, number=4):
    return {f"{part}__{name}": number for name in names}


def counts(splits):
    parts = (splits.train, splits.validation, splits.test)
    return [(part.num_classes, len(part)) if part is not None else None for part in parts]


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_validation_folder_validates(name, tmp_path):
    folder(tmp_path, **classes("train", "abcde"), **classes(name, "fg"), **classes("test", "hi"))
    splits = data.load("folder", tmp_path)
    assert counts(splits) == [(5, 20), (2, 8), (2, 8)]
    assert splits.validation.class_names == ("f", "g")
    assert splits.info["folds"] == "the data set's own validation classes"
    # Asked for folds, all classes to develop on are cut.
    assert counts(data.load("folder", tmp_path, num_folds=2)) == [(3, 12), (4, 16), (2, 8)]
    assert counts(data.load("folder", tmp_path, num_folds=1)) == [(7, 28), None, (2, 8)]


def test_a_split_val_of_a_table_validates(tmp_path):
    rows = [("path", "label", "split")]
    for split, names in (("train", "abc"), ("val", "de"), ("test", "fg")):
        folder(tmp_path, **classes("images", names))
        rows += [(f"images/{name}/{i}.jpg", name, split) for name in names for i in range(4)]
    with (tmp_path / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    splits = data.load("csv", tmp_path)
    assert counts(splits) == [(3, 12), (2, 8), (2, 8)]
    assert splits.validation.class_names == ("d", "e")


# Classes in one folder -> classes to train on, to validate on, to test on.
@pytest.mark.parametrize(
    ("number", "expected"), [(6, (2, 2, 2)), (7, (2, 2, 3)), (8, (2, 2, 4)), (20, (7, 3, 10))]
)
def test_one_folder_of_classes_is_divided_by_a_rule_that_is_told(
    number, expected, tmp_path, caplog
):
    names = "abcdefghijklmnopqrstuvwxyz"[:number]
    folder(tmp_path, **dict.fromkeys(names, 4))
    with caplog.at_level(logging.INFO):
        splits = data.load("folder", tmp_path)
    assert tuple(part[0] for part in counts(splits)) == expected
    assert splits.info["rule"].startswith(f"of {number} classes by name the first")


def test_train_alone_is_divided_and_a_folder_around_it_is_no_class(tmp_path):
    folder(tmp_path / "photos", **classes("train", "abcdefgh"))
    assert counts(data.load("folder", tmp_path)) == [(2, 8), (2, 8), (4, 16)]


def test_two_classes_are_refused_with_what_to_do(tmp_path):
    folder(tmp_path, a=9, b=9)
    with pytest.raises(ValueError, match="at least 6 classes.*closed_set = True.*") as caught:
        data.load("folder", tmp_path)
    # What gin adds is not told.
    assert config.message(caught.value).endswith("Received: 2 classes, ['a', 'b']")


def test_the_same_classes_in_train_and_test_are_a_closed_set_if_asked(tmp_path):
    folder(tmp_path, **classes("train", "ab", 8), **classes("test", "ab", 3))
    with pytest.raises(ValueError, match="other classes in test.*data.load.closed_set = True"):
        data.load("folder", tmp_path)
    splits = data.load("folder", tmp_path, closed_set=True)
    # 2 of 8 images of each class validate.
    assert counts(splits) == [(2, 12), (2, 4), (2, 6)]
    assert splits.info["closed_set"]
    assert not set(splits.train.paths) & set(splits.validation.paths)
    folds = [data.load("folder", tmp_path, closed_set=True, fold=f).validation for f in range(4)]
    assert sorted(path for fold in folds for path in fold.paths) == sorted(
        loading.read("folder", tmp_path).development.paths
    )
    assert counts(data.load("folder", tmp_path, closed_set=True, num_folds=1))[1] is None


def test_a_closed_set_needs_all_test_classes_in_train(tmp_path):
    folder(tmp_path, **classes("train", "ab", 8), **classes("test", "bc", 3))
    with pytest.raises(ValueError, match="every class of test in train.*'c' in test only"):
        data.load("folder", tmp_path, closed_set=True)


def test_classes_with_one_image_are_left_out_of_the_test_and_counted(tmp_path, caplog):
    folder(tmp_path, **classes("train", "abcd"), **classes("test", "ef"), test__g=1)
    splits = data.load("folder", tmp_path)
    assert splits.test.class_names == ("e", "f")
    assert splits.info["alone"] == {"validation": 0, "test": 1}
    assert "1 images are left out of test" in caplog.text
    assert "alone: g of test has no other" in " ".join(
        doctor.examine(loading.read("folder", tmp_path)).notes
    )
    for name in "ef":
        shutil.rmtree(tmp_path / "test" / name)
    with pytest.raises(ValueError, match="Expected a class of which test has two images"):
        data.load("folder", tmp_path)


def test_images_that_tensorflow_cannot_decode_are_refused_by_name(tmp_path):
    folder(tmp_path, **dict.fromkeys("abcdefgh", 4))
    (tmp_path / "a" / "scan.TIF").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match="format: .*scan.TIF: TensorFlow .* convert"):
        data.load("folder", tmp_path)
    (problem,) = (
        line
        for line in doctor.examine(loading.read("folder", tmp_path)).problems
        if "scan.TIF" in line
    )
    assert problem.startswith("format")


def test_webp_is_read_or_refused_by_name(tmp_path):
    folder(tmp_path, **dict.fromkeys("abcdefgh", 4))
    (tmp_path / "a" / "0.WebP").write_bytes(decoding._TINY_WEBP)
    if decoding.decodes_webp():
        assert len(data.load("folder", tmp_path).train) == 9
    else:
        with pytest.raises(ValueError, match="0.WebP: TensorFlow .* cannot decode .webp"):
            data.load("folder", tmp_path)


def test_links_and_odd_names_are_followed(tmp_path):
    outside = folder(tmp_path / "outside", images=4)
    root = folder(tmp_path / "my photos", **dict.fromkeys("abcdefg", 4))
    (root / "\u00f1and\u00fa \U0001f426").symlink_to(outside / "images")
    splits = data.load("folder", root)
    assert "\u00f1and\u00fa \U0001f426" in splits.test.class_names


def test_what_is_embedded_of_a_folder_names_what_is_left_out(tmp_path, caplog):
    folder(tmp_path, val__a=2)
    (tmp_path / "val" / "a" / "notes.txt").write_text("")
    assert serving.find_images(tmp_path).classes == ("a", "a")
    assert "1 files are no images, e.g. " in caplog.text
    assert "notes.txt" in caplog.text
