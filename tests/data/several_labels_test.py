"""Images with several labels, from a table to batches and scores."""

import dataclasses

import numpy as np
import pytest

from ccpdml import data
from ccpdml.data import checks, identity, samplers
from tests.data import miniatures

SEVERAL = np.random.default_rng(1).random((60, 8)) < 0.25
SEVERAL[np.arange(60), np.arange(60) % 8] = True


def table(folder, parts="train,train,val,test", row="{path},{first}|{second}|{first},{part}"):
    """A table of images of two of 6 tags each; returns it."""
    parts, lines = parts.split(","), ["file,tags,split".replace("file", "path")]
    for number in range(60):
        path = folder / f"{number}.png"
        miniatures.write_image(path, number % 6)
        tags = {"first": f"tag {number % 6}", "second": f"tag {(number // 6 + number) % 6}"}
        lines.append(row.format(path=path.name, part=parts[number % len(parts)], **tags))
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return folder / "images.csv"


TAGS = {"label_column": "tags", "label_separator": "|", "closed_set": True}


@pytest.mark.parametrize("parts", ["train,train,val,test", "train,train,train,test"])
def test_a_table_tells_all_labels_of_each_image(parts, tmp_path):
    splits = data.load("csv", table(tmp_path, parts), **TAGS)
    for part in (splits.train, splits.validation, splits.test):
        assert part.several.shape == (len(part), part.num_classes)
        for row, path in enumerate(part.paths):
            number = int(path.rpartition("/")[2].removesuffix(".png"))
            tags = {f"tag {number % 6}", f"tag {(number // 6 + number) % 6}"}
            assert set(part.names_of(row).split(", ")) == tags
            assert part.class_names[part.labels[row]] == f"tag {number % 6}"
    assert 1.0 < splits.info["counts"]["train"]["labels per image"] <= 2.0


@pytest.mark.parametrize(
    ("parts", "row", "options", "expected"),
    [
        ("", "{path},{first}|{second},", {}, "expected the column split.*several labels"),
        ("train,test", "{path},|,{part}", {}, "labels with '|'.*label_separator"),
        ("train,test", None, {"label_separator": ""}, "load.label_separator.*Received"),
        ("train,test", "{path},{first}|{second},{part}", {"label_column": "kind"}, "label, kind"),
        ("train,test", "{path},{first}|{second},{part}", {"closed_set": False}, "closed_set"),
        ("train,test", None, {"category_column": "split"}, "expected one label of each image"),
    ],
)
def test_tables_of_which_nothing_can_be_made_are_refused(parts, row, options, expected, tmp_path):
    file = table(tmp_path, parts, *([row] if row else []))
    expected = expected.replace("label, kind", "columns path, kind").replace("'|'", "'.'")
    with pytest.raises(ValueError, match=expected):
        data.load("csv", file, **(TAGS | options))


def test_other_labels_than_those_trained_on_cannot_be_cut_into_folds(tmp_path):
    file = table(tmp_path, "train,test", "{path},{first} {part}|{second} {part},{part}")
    options = TAGS | {"closed_set": False}
    with pytest.raises(ValueError, match="split val.*closed_set = True.*num_folds=None"):
        data.load("csv", file, **options)
    splits = data.load("csv", file, **options, num_folds=1)
    assert not set(splits.train.class_names) & set(splits.test.class_names)


def images(several=SEVERAL):
    pixels = np.random.default_rng(0).integers(256, size=(60, 8, 8, 1), dtype=np.uint8)
    return data.ImageSet(pixels, np.arange(60) % 8, "abcdefgh", several=several)


def test_an_image_set_keeps_them():
    whole = images()
    assert whole.all_labels is whole.several
    np.testing.assert_array_equal(whole.select([4, 2]).several, SEVERAL[[4, 2]])
    some = whole.select_classes([3, 1])
    rows = np.flatnonzero(np.isin(np.arange(60) % 8, [1, 3]))
    np.testing.assert_array_equal(some.several, SEVERAL[rows][:, [3, 1]])
    with pytest.raises(ValueError, match="cannot be joined"):
        whole.joined(whole)
    for wrong in (SEVERAL[:5], SEVERAL.astype(int), np.zeros_like(SEVERAL)):
        with pytest.raises(ValueError, match="several"):
            images(wrong)
    other = SEVERAL.copy()
    other[0, 5] ^= True
    of, others = (identity.describe({"train": images(each)}) for each in (SEVERAL, other))
    assert "labels" in identity.differences(of, others)[0]


def test_alone_are_images_that_share_no_label_with_another():
    several = np.zeros((60, 8), bool)
    several[np.arange(60), np.arange(60) % 8] = True
    several[:, 7] = False
    several[7::8, 0] = True
    several[7, :] = [0, 0, 0, 0, 0, 0, 0, 1]
    labels = np.where(np.arange(60) % 8 == 7, 0, np.arange(60) % 8)
    labels[7] = 7
    made = dataclasses.replace(images(), labels=labels, several=several)
    assert np.flatnonzero(checks.are_alone(made)).tolist() == [7]
    assert checks.alone(made) == ["h"]


def test_batches_hold_no_image_twice_and_images_of_every_class_drawn():
    drawn = samplers.ClassBalancedSampler(SEVERAL, 4, 3, seed=2)
    again = samplers.ClassBalancedSampler(SEVERAL, 4, 3, seed=2)
    seen = np.zeros(60, int)
    for step in range(100):
        batch = drawn.batch(step)
        assert len(set(batch)) == 12
        assert (again.batch(step) == batch).all()
        assert sum(SEVERAL[batch].reshape(4, 3, 8).all(axis=1).any(axis=1)) == 4
        np.add.at(seen, batch, 1)
    assert seen.min() > 0
    # Two classes of the same three images: the second has none left, and repeats its own.
    few = samplers.ClassBalancedSampler(np.ones((3, 2), bool), 2, 3)
    assert sorted(few.batch(0)) == [0, 0, 1, 1, 2, 2]
