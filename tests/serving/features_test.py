"""Stored features: written once, in pieces, and trained on without being read whole."""

import collections
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data, serving
from ccpdml.data import features as feature_reader
from ccpdml.serving import features
from tests.serving import fixtures

Photos = collections.namedtuple("Photos", "development, test")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fixtures.make_run(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def network(run_dir):
    return features.without_head(serving.load_encoder(run_dir))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    found = serving.find_images(fixtures.make_photos(folder / "photos", per_class=4))
    images = data.source.files("", found.paths, found.classes)
    return Photos(images.select_classes([0, 1]), images.select_classes([2]))


def test_features_are_the_input_of_the_embedding_layer(run_dir, network, photos):
    encoder = serving.load_encoder(run_dir)
    paths = list(photos.development.paths)
    by_hand = network.embed(paths) @ encoder.model.get_weights()[-1]
    raw = tf.keras.Model(encoder.model.inputs, encoder.model.get_layer("raw").output)
    pixels = np.stack([encoder.look(pathlib.Path(path).read_bytes()) for path in paths])
    np.testing.assert_allclose(by_hand, raw(encoder.preprocess(pixels)), rtol=1e-4, atol=1e-5)


def test_a_stopped_call_goes_on_and_gives_the_same_bytes(network, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(256, size=(6, *network.pixels_shape), dtype=np.uint8)
    train = data.ImageSet(pixels, np.repeat([0, 1], 3), ("a", "b"))
    parts = {"train": train, "test": train.select_classes([1])}
    view = data.views.RandomShift()
    arguments = {"num_views": 2, "training_view": view, "shard_size": 4, "progress": False}
    features.store(tmp_path / "whole", network, parts, **arguments)
    write, calls = features._write, []

    def stop_at_the_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(features, "_write", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        features.store(tmp_path / "stopped", network, parts, **arguments)
    with pytest.raises(FileNotFoundError, match=r"labels\.npy"):
        feature_reader.read(tmp_path / "stopped")
    features.store(tmp_path / "stopped", network, parts, **arguments)
    shards = sorted(path.name for path in (tmp_path / "whole").glob("features-*.npy"))
    assert len(shards) == 3
    for name in [*shards, "labels.npy", "split.npy", "paths.npy", "features.json"]:
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "stopped" / name
        ).read_bytes(), name


def test_views_are_one_by_one_those_of_evaluation_and_of_training(network, photos, tmp_path):
    view = data.views.RandomResizedCrop(network.pixels_shape[0])
    parts = {"train": photos.development, "test": photos.test}
    features.store(tmp_path / "f", network, parts, 3, view, progress=False)
    source = feature_reader.read(tmp_path / "f")
    found = source.test.images[:]
    assert found.shape == (len(photos.test), 3, network.embedding_size)
    plain = network.embed(list(photos.test.paths))
    np.testing.assert_allclose(found[:, 0], plain, rtol=1e-4, atol=1e-5)
    assert np.all(np.abs(found[:, 1] - found[:, 2]).max(axis=1) > 1e-4)
    assert source.features_of == network.info["fingerprint"]


def test_other_features_in_the_folder_are_refused(network, photos, tmp_path):
    parts = {"": photos.test}
    features.store(tmp_path / "f", network, parts, progress=False)
    with pytest.raises(FileExistsError, match="float16"):
        features.store(tmp_path / "f", network, parts, dtype="float16", progress=False)
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        features.store(tmp_path / "g", network, parts, progress=False)


def test_views_of_another_size_are_refused(network, photos, tmp_path):
    side = network.pixels_shape[0] + 1
    view = data.views.RandomResizedCrop(side)
    with pytest.raises(ValueError, match=f"Received: .{side}, {side}, 3. of RandomResizedCrop"):
        features.store(tmp_path / "f", network, {"": photos.test}, 2, view, progress=False)


def test_a_head_that_is_not_there_is_missed_by_its_own_name(network, photos, tmp_path):
    features.store(tmp_path / "features", network, {"train": photos.test}, progress=False)
    (tmp_path / "unfinished").mkdir()
    for place in (tmp_path / "unfinished", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"directory of a finished run.*{place.name}"):
            features.with_head(tmp_path / "features", place)


def test_a_head_of_another_networks_features_is_refused(network, photos, tmp_path):
    features.store(tmp_path / "f", network, {"": photos.test}, progress=False)
    head = tf.keras.Sequential(
        [tf.keras.Input((network.embedding_size,)), tf.keras.layers.Dense(2)]
    )
    head.save(tmp_path / "encoder.keras")
    about = serving.description.describe(head, data.views.FirstStored(), tf.identity, None, "abc")
    serving.description.write(tmp_path / "encoder.json", about)
    with pytest.raises(ValueError, match="of the network abc"):
        features.with_head(tmp_path / "f", tmp_path / "encoder.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_views": 2}, "needs a `training_view`"),
        ({"num_views": 0}, "num_views=0"),
        ({"dtype": "int8"}, "dtype='int8'"),
    ],
)
def test_what_cannot_be_stored_is_refused(network, photos, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        features.store(tmp_path / "f", network, {"": photos.test}, **arguments)
    assert not (tmp_path / "f").exists()
