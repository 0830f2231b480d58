import json
import pathlib

import numpy as np
import pytest

from ccpdml.data import folds, image_set

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "splits.npz")
CASES = sorted(
    name
    for name, case in json.loads(str(GOLDEN["meta_json"]))["cases"].items()
    if case["num_splits"] > 1
)


def classes(num_classes):
    """An image set of one file per class."""
    names = [str(i) for i in range(num_classes)]
    return image_set.ImageSet(np.array(names), np.arange(num_classes), names)


@pytest.mark.parametrize("case", CASES)
def test_ccp_folds_are_those_of_the_original(case):
    num_classes, num_folds = (int(part[1:]) for part in case.split("_"))
    for fold in range(num_folds):
        train, validation = folds.split(classes(num_classes), "ccp", num_folds, fold)
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
        _, validation = folds.split(classes(num_classes), "mlrc", 4, fold)
        assert validation.tolist() == list(range(first, last + 1))


@pytest.mark.parametrize("definition", sorted(folds.DEFINITIONS))
@pytest.mark.parametrize("num_classes", [5, 98, 101])
def test_training_and_validation_share_no_class_and_lose_none(definition, num_classes):
    seen = []
    for fold in range(4):
        train, validation = folds.split(classes(num_classes), definition, 4, fold)
        assert sorted([*train, *validation]) == list(range(num_classes))
        seen.extend(validation)
    assert len(set(seen)) == len(seen)


def test_one_fold_means_no_validation_classes():
    train, validation = folds.split(classes(7), "ccp", num_folds=1)
    assert train.tolist() == list(range(7))
    assert validation.size == 0


@pytest.mark.parametrize(
    "arguments",
    [("other", 4, 0), ("ccp", 0, 0), ("ccp", 8, 0), ("ccp", 4, 4), ("ccp", 4, -1)],
)
def test_impossible_folds_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        folds.split(classes(7), *arguments)
