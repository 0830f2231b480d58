import numpy as np
import pytest

from ccpdml import data, models
from ccpdml.data import features

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(24, 5)).astype(np.float32)
LABELS = np.repeat(np.arange(8), 3)


def _file(folder, **arrays):
    np.savez(folder / "features.npz", **arrays)
    return folder / "features.npz"


def test_vectors_and_labels_make_a_data_set_halved_by_class(tmp_path):
    _file(tmp_path, features=VECTORS, labels=LABELS)
    splits = data.load("features", tmp_path, num_folds=2)
    assert splits.info["counts"] == {
        name: {"images": images, "classes": images // 3}
        for name, images in {"train": 6, "validation": 6, "test": 12}.items()
    }
    np.testing.assert_array_equal(splits.test.images, VECTORS[12:])


def test_a_split_names_and_classes_are_taken_from_the_file(tmp_path):
    split = np.array(["test", "train", "val", "train"])[LABELS % 4]
    names = np.array([f"photo {i}" for i in range(24)])
    classes = np.array(list("abcdefgh"))[LABELS]
    file = _file(tmp_path, embeddings=VECTORS, classes=classes, split=split, paths=names)
    source = features.read(file)
    assert source.development.class_names == tuple("bdfh")
    assert source.validation.class_names == tuple("cg")
    assert source.test.paths == tuple(names[LABELS % 4 == 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS}, "features or embeddings"),
        ({"features": VECTORS, "labels": LABELS[:-1]}, "shapes"),
        ({"features": VECTORS[0], "labels": LABELS}, "shapes"),
        (
            {"features": np.full_like(VECTORS, np.nan), "labels": LABELS},
            "nan",
        ),
        ({"features": VECTORS, "labels": LABELS, "split": np.full(24, "valid")}, "'valid'"),
        ({"features": VECTORS, "labels": LABELS, "split": np.full(24, "train")}, "test"),
        ({"features": VECTORS.astype(object), "labels": LABELS}, "without pickles"),
        ({"features": VECTORS, "labels": np.zeros(24, int)}, "at least 6 classes"),
    ],
)
def test_a_file_that_is_not_as_described_is_refused_by_name(tmp_path, arrays, message):
    file = _file(tmp_path, **arrays)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        features.read(file)
    assert str(file) in str(error.value)


def test_the_head_is_of_keras_layers_alone_and_refuses_images():
    head = models.feature_head((5,), hidden_units=(7,), embedding_size=3)
    assert [type(layer).__module__.split(".")[0] for layer in head.layers] == ["keras"] * 3
    assert head(VECTORS).shape == (24, 3)
    with pytest.raises(ValueError, match="build_encoder"):
        models.feature_head((8, 8, 1))
