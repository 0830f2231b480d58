"""What a run knows its data by."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ccpdml import data
from ccpdml.data import identity

CLASSES = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple")


@pytest.fixture
def folder(tmp_path):
    """8 classes of 3 files, of which one half is to train and validate on."""
    for index, name in enumerate(CLASSES):
        part = tmp_path / "photos" / ("train" if index < 4 else "test") / name
        part.mkdir(parents=True)
        for number in range(3):
            pixels = np.full((4, 4 + index, 3), 10 * number, np.uint8)
            Image.fromarray(pixels).save(part / f"{number}.png")
    return tmp_path / "photos"


def described(folder, **settings):
    return data.load("folder", folder, verify_counts=False, **settings).info["data"]


def replace(folder):
    path = folder / "train" / "ash" / "0.png"
    path.write_bytes(path.read_bytes() + b"more")


def replace_by_one_of_the_same_size(folder):
    path = folder / "train" / "ash" / "0.png"
    path.write_bytes(path.read_bytes()[::-1])


def add(folder):
    path = folder / "train" / "ash" / "0.png"
    shutil.copy(path, path.with_name("9.png"))


def swap_classes(folder):
    a, b, c = (folder / "train" / name for name in ("ash", "birch", "swap"))
    a.rename(c)
    b.rename(a)
    c.rename(b)


def rename_class(folder):
    (folder / "train" / "ash").rename(folder / "train" / "aspen")


def swap_parts(folder):
    a, b, c = (folder / name for name in ("train", "test", "swap"))
    a.rename(c)
    b.rename(a)
    c.rename(b)


@pytest.mark.parametrize(
    "change",
    [replace, replace_by_one_of_the_same_size, add, swap_classes, rename_class, swap_parts],
)
def test_other_files_classes_or_parts_are_other_data(folder, change):
    before = described(folder)
    assert identity.differences(before, described(folder)) == []
    change(folder)
    after = described(folder)
    found = identity.differences(before, after)
    assert any(line.startswith("train: ") for line in found)
    assert identity.summary(before) != identity.summary(after)


def test_another_fold_is_another_split(folder):
    found = identity.differences(described(folder), described(folder, fold=1))
    assert [line.split(":")[0] for line in found] == ["train", "validation"]


def test_moved_data_are_the_same(folder, tmp_path):
    before = described(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    after = described(moved)
    assert identity.differences(before, after) == []
    assert identity.summary(before) == identity.summary(after)
    assert (before["root"], after["root"]) == (str(folder), str(moved))


def test_what_cannot_be_read_is_part_of_the_data_all_the_same(folder):
    path = folder / "train" / "ash" / "0.png"
    path.write_bytes(path.read_bytes()[:40])
    assert described(folder) == described(folder, skip_corrupt=True)


def test_the_words_for_a_difference(folder):
    before = described(folder)
    add(folder)
    assert identity.differences(before, described(folder)) == [
        "train: 6 images of 2 classes then, 7 images of 2 classes now"
    ]


def test_pixels_in_memory_count():
    pixels = np.zeros((4, 2, 2, 1), np.uint8)
    labels, names = np.array([0, 0, 1, 1]), ("a", "b")
    before = identity.describe({"train": data.ImageSet(pixels, labels, names)})
    pixels[3, 1, 1] = 1
    after = identity.describe({"train": data.ImageSet(pixels, labels, names)})
    assert before["root"] is None
    assert identity.differences(before, after) == [
        "train: 4 images of 2 classes then, 4 images of 2 classes now, with other files, "
        "labels or order"
    ]


def test_splits_made_by_other_code_are_described_as_they_are():
    digits = data.load("digits")
    own = data.Splits(digits.train, digits.validation, digits.test, None, info={})
    assert identity.of(own) == identity.of(digits) == digits.info["data"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    images = data.ImageSet(np.array([f"{tmp_path}/no.png"]), np.zeros(1, int), ("a",))
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        identity.describe({"train": images})
