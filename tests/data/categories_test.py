"""Categories of classes, from the files that tell them to the batches that are drawn by them."""

import dataclasses
import re

import numpy as np
import pytest

from ccpdml import data
from ccpdml.data import identity, samplers
from tests.data import miniatures

SIZES = (3, 4, 5, 6, 7)  # Classes of each category.
CATEGORIES = [name for name, size in zip("abcde", SIZES, strict=True) for _ in range(size)]
LABELS = np.repeat(np.arange(len(CATEGORIES)), 3 + np.arange(len(CATEGORIES)) % 4)


def load(name, root, **options):
    return data.load(name, root, verify_counts=False, **options)


def parts_of(splits):
    parts = (splits.train, splits.validation, splits.test, splits.gallery)
    return [part for part in parts if part is not None]


@pytest.mark.parametrize("folds", ["ccp", "mlrc"])
def test_products_are_in_the_categories_that_their_folders_name(folds, tmp_path):
    splits = load("sop", miniatures.sop(tmp_path), folds=folds)
    for part in parts_of(splits):
        folders = [path.split("/")[-2] for path in part.paths]
        assert [f"{name}_final" for name in part.image_categories] == folders
        assert set(part.categories) == {"bicycle", "chair"}
    assert splits.info["counts"]["test"]["categories"] == 2


def table(
    folder, column="brand", of=lambda row: f"brand {row % 3}", make=miniatures.csv_of_classes
):
    """A table of 24 labels with a column more; returns it."""
    root = make(folder)
    file = root if root.is_file() else root / "images.csv"
    head, *rows = file.read_text().splitlines()
    numbers = [int(re.search(r"thing (\d+)", row)[1]) for row in rows]
    lines = [f"{row},{of(number)}" for row, number in zip(rows, numbers, strict=True)]
    file.write_text("\n".join([f"{head},{column}", *lines]) + "\n")
    return file


@pytest.mark.parametrize("make", [miniatures.csv_of_classes, miniatures.csv_with_gallery])
def test_a_column_of_a_table_is_chosen_by_its_name(make, tmp_path):
    file = table(tmp_path, make=make)
    splits = load("csv", file, category_column="brand")
    for part in parts_of(splits):
        numbers = [int(name.removeprefix("thing ")) for name in part.class_names]
        assert list(part.categories) == [f"brand {number % 3}" for number in numbers]
    assert load("csv", file).train.image_categories is None
    assert "categories" not in load("csv", file).info["counts"]["train"]


@pytest.mark.parametrize(
    ("of", "column", "expected"),
    [
        (
            lambda label: "x",
            "kind",
            "columns path, label, kind, each once. Received: path, label, brand",
        ),
        (lambda label: "x" if label else "", "brand", "line 2: expected a value in each of path"),
        (
            iter(range(999)).__next__,
            "brand",
            "label 'thing 00' in '0' and, for .*, in '1' of the "
            r"column 'brand' \(data.load.category_column\)",
        ),
    ],
)
def test_a_column_that_tells_no_category_of_each_label_is_refused(of, column, expected, tmp_path):
    file = table(tmp_path, of=of if isinstance(of, type(load)) else lambda label: of())
    with pytest.raises(ValueError, match=expected):
        load("csv", file, category_column=column)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "\n1 1 2 ",
            "\n1 1 1 ",
            "mislabelled: .* product 1 of super-class 2; .* super-class 1, chair",
        ),
        (" 4 1 bicycle", " 4 1 lamp", "mislabelled: lamp.* super-class 1, that of bicycle"),
        ("\n6 2 1 bicycle", "\n6 2 1 lamp", "mislabelled: bicycle.* product 2 .* 1; .*, lamp"),
        ("\n1 1 2 ", "\n1 1 x ", "Ebay_train.txt: expected a super-class id.*Received: 'x'"),
    ],
)
def test_a_product_of_two_categories_is_refused(old, new, expected, tmp_path):
    root = miniatures.sop(tmp_path)
    file = root / "Stanford_Online_Products" / "Ebay_train.txt"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ValueError, match=expected):
        load("sop", root)


def test_an_image_set_keeps_them_through_all_that_is_made_of_it():
    pixels = np.zeros((6, 2, 2, 3), np.uint8)
    images = data.ImageSet(pixels, [0, 0, 1, 1, 2, 2], "abc", categories="xyx")
    assert images.image_categories.tolist() == list("xxyyxx")
    assert images.select([4, 2]).image_categories.tolist() == ["x", "y"]
    assert images.select_classes([2, 1]).categories == ("x", "y")
    assert images.joined(images).categories == tuple("xyxxyx")
    with pytest.raises(ValueError, match="Received: 3 categories, 6 classes"):
        images.joined(dataclasses.replace(images, categories=()))


def test_data_in_other_categories_are_other_data_unless_they_were_not_known():
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    images = data.ImageSet(pixels, [0, 0, 1, 1], "ab", categories="xy")
    of, other, without = (
        identity.describe({"train": dataclasses.replace(images, categories=tuple(names))})
        for names in ("xy", "yx", "")
    )
    assert identity.differences(of, of) == identity.differences(without, of) == []
    assert "with other categories" in identity.differences(of, other)[0]


def sampler(classes_per_batch=6, samples_per_class=2, seed=0, **settings):
    return samplers.CategoryBalancedSampler(
        LABELS, classes_per_batch, samples_per_class, seed, CATEGORIES, **settings
    )


@pytest.mark.parametrize(("taken", "num_categories"), [(6, 2), (6, 3), (3, 1), (5, 5)])
@pytest.mark.parametrize("weigh", [True, False])
def test_a_batch_holds_equally_many_classes_of_few_categories(taken, num_categories, weigh):
    drawn = sampler(taken, categories_per_batch=num_categories, weigh_by_classes=weigh)
    seen = {label: [] for label in range(len(CATEGORIES))}
    for step in range(400):
        images = drawn.batch(step)
        classes = LABELS[images].reshape(taken, 2)
        assert (classes[:, 0] == classes[:, 1]).all()
        assert len(set(images)) == 2 * taken
        assert len(set(classes[:, 0])) == taken
        categories = np.array(CATEGORIES)[classes[:, 0]].reshape(num_categories, -1)
        assert (categories == categories[:, :1]).all()
        assert len(set(categories[:, 0])) == num_categories
        for label, group in zip(classes[:, 0], images.reshape(taken, 2), strict=True):
            seen[label].extend(group)
    for label, images in seen.items():
        # Every image of a class once before any of them repeats, every class of a category too.
        size = np.bincount(LABELS)[label]
        whole = np.reshape(images[: len(images) // size * size], (-1, size))
        assert all(len(set(row)) == size for row in whole)
    for category in "abcde":
        counts = [len(seen[label]) for label, name in enumerate(CATEGORIES) if name == category]
        assert np.ptp(counts) <= 2


def test_its_batch_is_a_function_of_seed_and_step():
    one, other, different = sampler(seed=5), sampler(seed=5), sampler(seed=6)
    in_order = [one.batch(step) for step in range(300)]
    for step in np.random.default_rng(0).permutation(300)[:60]:
        assert (other.batch(int(step)) == in_order[step]).all()
    assert any((different.batch(step) != in_order[step]).any() for step in range(3))


def test_categories_come_by_their_classes_or_equally_often():
    for weigh, weights in ((True, np.array(SIZES)), (False, np.ones(5))):
        drawn = sampler(3, categories_per_batch=1, weigh_by_classes=weigh)
        steps = [CATEGORIES[LABELS[drawn.batch(step)[0]]] for step in range(3000)]
        shares = np.array([steps.count(name) for name in "abcde"]) / 3000
        # Standard error of a share is below .009.
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)


def test_small_categories_are_refused_or_joined():
    with pytest.raises(ValueError, match=r"3 of 5 categories .* such as 'a' with 3"):
        sampler(12, categories_per_batch=2)
    joined = sampler(12, categories_per_batch=2, join_small=True)
    assert {len(classes) for classes in joined.classes_of_category.values()} == {6, 7, 3 + 4 + 5}
    assert sorted(np.concatenate(list(joined.classes_of_category.values()))) == list(range(25))
    assert len(set(LABELS[joined.batch(0)])) == 12
    # Of one alone there are still too few: the smallest of the others joins it.
    joined = sampler(8, categories_per_batch=2, join_small=True).classes_of_category
    assert [len(classes) for classes in joined.values()] == [5, 6, 7, 3 + 4]
    assert list(joined)[-1] == ("a", "b")


@pytest.mark.parametrize(
    ("classes_per_batch", "settings", "expected"),
    [
        (6, {"categories_per_batch": 4}, "must be a multiple.*categories_per_batch=4"),
        (6, {"categories_per_batch": 6}, "number of categories to train on = 5"),
        (26, {}, "train.classes_per_batch.*= 25"),
        (6, {"categories_per_batch": 0}, "categories_per_batch=0"),
    ],
)
def test_batches_that_cannot_be_filled_are_refused(classes_per_batch, settings, expected):
    with pytest.raises(ValueError, match=expected):
        sampler(classes_per_batch, **settings)


def test_data_without_categories_are_refused_and_told_where_they_come_from():
    with pytest.raises(ValueError, match=r"data\.load\.category_column.*0 categories, 25 classes"):
        samplers.CategoryBalancedSampler(LABELS, 6, 2)
