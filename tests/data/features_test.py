import numpy as np
import pytest

from ccpdml import data, models
from ccpdml.data import features, stored

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


def test_a_folder_of_shards_is_mapped_and_read_by_rows(tmp_path):
    for place, part in enumerate(np.split(VECTORS, [7, 16])):
        np.save(tmp_path / f"features-{place:05d}.npy", part.astype(np.float16))
    np.save(tmp_path / "labels.npy", LABELS)
    splits = data.load("features", tmp_path, num_folds=2)
    assert isinstance(splits.train.images, stored.StoredVectors)
    assert isinstance(splits.train.images.shards[0], np.memmap)
    np.testing.assert_array_equal(splits.test.images[:], VECTORS[12:].astype(np.float16))
    np.testing.assert_array_equal(splits.test.images[[5, 3]], VECTORS[[17, 15]].astype(np.float16))
    np.testing.assert_array_equal(splits.test.images[-1], VECTORS[-1].astype(np.float16))
    (batch,) = data.pipelines.image_batches(splits.test, data.views.Plain(), 12)
    np.testing.assert_array_equal(batch, VECTORS[12:].astype(np.float16))


def test_a_folder_and_a_file_of_the_same_vectors_are_the_same_data(tmp_path):
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "embeddings.npy", VECTORS)
    np.save(tmp_path / "folder" / "classes.npy", LABELS)
    file = _file(tmp_path, features=VECTORS, labels=LABELS)
    one, other = (data.load("features", each, num_folds=2) for each in (tmp_path / "folder", file))
    assert one.info["data"] == other.info["data"]


def test_training_takes_any_stored_view_and_evaluation_the_first(tmp_path):
    views = np.arange(24 * 4 * 5, dtype=np.float32).reshape(24, 4, 5)
    images = data.ImageSet(views, np.repeat(np.arange(8), 3), tuple("abcdefgh"))
    (plain,) = data.pipelines.image_batches(images, data.views.FirstStored(), 24)
    np.testing.assert_array_equal(plain, views[:, 0])
    drawn = np.concatenate(
        [
            next(iter(data.pipelines.image_batches(images, data.views.AnyStored(), 24, seed=s)))
            for s in (0, 1)
        ]
    )
    rows, places = drawn[:, 0] // 20, drawn[:, 0] % 20 // 5
    np.testing.assert_array_equal(rows, np.tile(np.arange(24), 2))
    assert set(places.tolist()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(images.to_draw, views[:, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features-0": VECTORS}, "labels.npy"),
        ({"labels": LABELS}, "features.npy"),
        ({"features-0": VECTORS, "features-1": VECTORS[:, :4], "labels": LABELS}, "features-1.npy"),
        ({"features-0": np.full_like(VECTORS, np.inf), "labels": LABELS}, "row 0"),
        ({"features-0": VECTORS, "labels": LABELS[1:]}, "a label"),
        ({"features-0": VECTORS.astype(int), "labels": LABELS}, "floats"),
        (
            {"features-0": VECTORS, "labels": np.where(np.arange(24) > 21, np.nan, LABELS)},
            "2 without .*row 22",
        ),
        (
            {"features-0": VECTORS, "labels": np.where(LABELS > 2, "a", "")},
            "a class for each.*row 0",
        ),
    ],
)
def test_a_folder_that_is_not_as_described_is_refused(tmp_path, arrays, message):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        features.read(tmp_path)


def test_a_damaged_description_and_floats_too_wide_are_named(tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "features.npy", VECTORS)
    (tmp_path / "features.json").write_text("{")
    with pytest.raises(ValueError, match=r"features\.json: expected a JSON object"):
        features.read(tmp_path)
    (tmp_path / "features.json").unlink()
    np.save(tmp_path / "features.npy", np.full(VECTORS.shape, 1e300))
    with pytest.raises(ValueError, match=r"features\.npy: expected finite.*row 0"):
        features.read(tmp_path)


def test_a_head_of_several_views_says_what_to_bind():
    with pytest.raises(ValueError, match="@AnyStored"):
        models.feature_head((3, 5))
