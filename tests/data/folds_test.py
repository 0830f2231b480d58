import json
import pathlib

import numpy as np
import pytest

from ccpdml.data import folds, source

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "splits.npz")
CASES = sorted(
    name
    for name, case in json.loads(str(GOLDEN["meta_json"]))["cases"].items()
    if case["num_splits"] > 1
)


def classes(num_classes, num_test=None, gallery=None):
    """A source with one file per class; as many classes to test on as to develop on."""
    num_test = num_classes if num_test is None else num_test
    return source.Source(
        development=source.files("", [f"a{i}" for i in range(num_classes)], range(num_classes)),
        test=source.files("", [f"b{i}" for i in range(num_test)], range(num_test)),
        gallery=gallery,
    )


def split(*arguments):
    """Training and validation classes."""
    return folds.split(*arguments)[1:]


@pytest.mark.parametrize("case", CASES)
def test_ccp_folds_are_those_of_the_original(case):
    num_classes, num_folds = (int(part[1:]) for part in case.split("_"))
    for fold in range(num_folds):
        train, validation = split(classes(num_classes), "ccp", num_folds, fold)
        assert validation[0] == GOLDEN[f"{case}/val_first"][fold]
        assert validation[-1] == GOLDEN[f"{case}/val_last"][fold]
        assert len(validation) == GOLDEN[f"{case}/n_val"][fold]
        assert len(train) == GOLDEN[f"{case}/n_train"][fold]


# First and last validation class of each fold, as the benchmark's code gives them.
@pytest.mark.parametrize(
    ("num_classes", "expected"),
    [
        (100, [(75, 99), (0, 24), (25, 49), (50, 74)]),
        (98, [(74, 97), (0, 23), (25, 48), (49, 72)]),
    ],
)
def test_mlrc_folds_are_those_of_the_benchmark(num_classes, expected):
    for fold, (first, last) in enumerate(expected):
        _, validation = split(classes(num_classes), "mlrc", 4, fold)
        assert validation.tolist() == list(range(first, last + 1))


@pytest.mark.parametrize("definition", sorted(folds.DEFINITIONS))
@pytest.mark.parametrize("num_classes", [5, 98, 101])
def test_training_and_validation_share_no_class_and_lose_none(definition, num_classes):
    seen = []
    for fold in range(4):
        train, validation = split(classes(num_classes), definition, 4, fold)
        assert sorted([*train, *validation]) == list(range(num_classes))
        seen.extend(validation)
    assert len(set(seen)) == len(seen)


def test_one_fold_means_no_validation_classes():
    train, validation = split(classes(7), "ccp", 1)
    assert train.tolist() == list(range(7))
    assert validation.size == 0


@pytest.mark.parametrize(
    "arguments",
    [("other", 4, 0), ("ccp", 0, 0), ("ccp", 8, 0), ("ccp", 4, 4), ("ccp", 4, -1)],
)
def test_impossible_folds_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        split(classes(7), *arguments)


def test_mlrc_halves_all_classes_and_ccp_keeps_the_published_split():
    # As for Stanford Online Products, whose lists give 11,318 and 11,316 classes.
    published = classes(6, 4)
    halved, _, validation = folds.split(published, "mlrc", 5, 0)
    assert (halved.development.num_classes, halved.test.num_classes) == (5, 5)
    assert halved.test.paths[:2] == ("a5", "b0")
    assert validation.tolist() == [4]
    assert folds.split(published, "ccp", 4, 0)[0] is published


def test_mlrc_is_refused_where_there_is_a_gallery():
    with pytest.raises(ValueError, match="gallery"):
        folds.split(classes(6, 4, gallery=classes(4).test), "mlrc", 2, 0)
