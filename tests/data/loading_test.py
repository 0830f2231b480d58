import json

import gin
import numpy as np
import pytest

from ccpdml import data


def test_digits_are_class_disjoint():
    splits = data.load("digits", num_folds=3)
    assert splits.test.class_names == ("6", "7", "8", "9")
    assert splits.validation.class_names == ("4", "5")
    assert splits.train.class_names == ("0", "1", "2", "3")
    assert splits.gallery is None
    assert splits.train.images.shape[1:] == (8, 8, 1)
    assert splits.train.images.max() == 255
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 1797


def test_info_says_how_the_parts_came_about():
    info = json.loads(json.dumps(data.load("digits", fold=1, num_folds=5, folds="mlrc").info))
    assert info["name"] == "digits"
    assert info["folds"] == "mlrc"
    assert (info["fold"], info["num_folds"]) == (1, 5)
    # Of 10 classes 5 develop; of these, fold 1 is the one before class floor(1 * 5 / 5) = 1.
    assert info["validation_classes"] == [[0, 0]]
    assert info["train_classes"] == [[1, 4]]
    assert info["counts"]["test"]["classes"] == 5


def test_one_fold_trains_on_all_development_classes():
    splits = data.load("digits", num_folds=1)
    assert splits.validation is None
    assert splits.train.num_classes == 6


def letters(root, per_class: int = 3, parts=1):
    """Files `root/<class>_<number>.png`, as a reader of one's own finds them."""
    paths = [f"{c}_{number}.png" for c in "abcdefgh" for number in range(per_class)]
    images = data.source.files(root, paths, [path[0] for path in paths])
    halves = images.select_classes(range(4)), images.select_classes(range(4, 8))
    return data.source.Source(*halves) if parts == 1 else halves


def test_a_reader_of_ones_own_is_cut_checked_and_told_like_any_other(tmp_path, monkeypatch):
    monkeypatch.setenv("CCPDML_DATA", str(tmp_path))
    for letter in "abcdefgh":
        for number in range(3):
            (tmp_path / f"{letter}_{number}.png").touch()
    splits = data.load(letters, num_folds=2)
    assert splits.train.class_names + splits.validation.class_names == tuple("abcd")
    assert splits.test.paths[0] == str(tmp_path / "e_0.png")
    assert splits.info["name"] == "letters"
    with pytest.raises(ValueError, match="The data set 'letters' is not as expected:\n  missing"):
        data.load(letters, per_class=4)
    with pytest.raises(ValueError, match="`data.load.per_class` must be an integer"):
        data.load(letters, per_class="ten")
    with pytest.raises(ValueError, match="has the options per_class, parts of its own.*: sides"):
        data.load(letters, sides=4)
    with pytest.raises(ValueError, match="must return a `data.source.Source`.* Received: tuple"):
        data.load(letters, parts=2)


def test_unknown_data_set_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="'digits', .*'folder', 'glyphs'.*name='digit'"):
        data.load("digit")


@pytest.mark.parametrize("binding", ["fold = 4", "num_folds = 0", "folds = 'x'"])
def test_impossible_folds_are_refused(binding):
    with gin.unlock_config():
        gin.clear_config()
        gin.parse_config(f"data.load.{binding}")
        with pytest.raises(ValueError, match="Received"):
            data.load("digits")
        gin.clear_config()


def test_labels_of_every_part_are_consecutive():
    splits = data.load("digits")
    for part in (splits.train, splits.validation, splits.test):
        assert np.unique(part.labels).tolist() == list(range(part.num_classes))
