"""The life of proxies: where they were born, how far they moved, what they covered."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import training
from ccpdml.ops import normalization
from tests.training import reinitialization_test, tiny


class Pool:
    """The same pool each time, which tells rows 100, 101, ... of a data set."""

    drawn = 100 + np.arange(tiny.NUM_CLASSES * 6).reshape(tiny.NUM_CLASSES, 6)

    def __call__(self):
        return reinitialization_test.pool()


class Look(tf.keras.callbacks.Callback):
    """Notes the proxies before and after the other callbacks of an epoch have acted."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(np.array(normalized(self.model.criterion.head.proxies)))


def normalized(points):
    return normalization.lipschitz_normalize(tf.convert_to_tensor(points))


def run(directory, draw_pool, num_epochs=5, **kwargs):
    """Trains two instances of two epochs and a third of one; returns what was seen."""
    model, before, after = tiny.learner(prox_weight=0.1), [], []
    outer = training.ProxyReinitialization(draw_pool, patience=1, **kwargs)
    record = training.ProxyRecord(outer, directory)
    script = reinitialization_test.Scores([0.5] * num_epochs)
    model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=num_epochs,
        callbacks=[script, Look(before), outer, record, Look(after)],
        verbose=0,
        shuffle=False,
    )
    files = {path.stem: dict(np.load(path)) for path in directory.glob("*.npz")}
    return files, before, after


def test_a_proxy_is_born_from_an_image_of_its_class(tmp_path):
    files, _, after = run(tmp_path, Pool())
    assert sorted(files) == ["end", *(f"instance_000{i}" for i in range(3))]
    assert [int(files[f"instance_000{i}"]["step"]) for i in range(3)] == [0, 10, 20]
    pool = np.array(normalized(reinitialization_test.pool()))
    places = files["instance_0001"]["images"] - Pool.drawn[:, :1]
    assert places.shape == (tiny.NUM_CLASSES, 2)
    np.testing.assert_allclose(
        after[1], np.take_along_axis(pool, places[..., None], axis=1), rtol=1e-6
    )


def test_proxies_move_from_birth_to_the_end_of_their_instance(tmp_path):
    files, before, after = run(tmp_path, Pool())
    moved = np.linalg.norm(before[3] - after[1], axis=-1)
    assert moved.min() > 0.01
    np.testing.assert_allclose(files["instance_0002"]["old_moved"], moved, rtol=1e-5)
    moved = np.linalg.norm(before[4] - after[3], axis=-1)
    np.testing.assert_allclose(files["end"]["moved"], moved, rtol=1e-5)
    assert int(files["end"]["step"]) == 25
    assert "old_moved" not in files["instance_0000"]


def test_radii_are_those_of_the_pool(tmp_path):
    files, before, after = run(tmp_path, Pool())
    pool = np.array(normalized(reinitialization_test.pool()))
    for prefix, proxies in (("", after[1]), ("old_", before[1])):
        found = files["instance_0001"]
        distances = np.linalg.norm(pool[:, :, None] - proxies[:, None], axis=-1)
        covering = distances.min(axis=2).max(axis=1)
        np.testing.assert_allclose(found[prefix + "radius"].max(axis=1), covering, atol=1e-5)
        best_of_one = distances.max(axis=1).min(axis=1)
        expected = [best_of_one.mean(), covering.mean()]
        np.testing.assert_allclose(found[prefix + "curve"], expected, atol=1e-5)


def test_pools_that_do_not_tell_their_images_are_recorded_without(tmp_path):
    files, _, _ = run(tmp_path, reinitialization_test.pool, num_epochs=1)
    assert "images" not in files["instance_0000"]
    assert "radius" in files["instance_0000"]


def test_proxies_that_started_at_random_have_moved_too(tmp_path):
    files, before, _ = run(
        tmp_path, Pool(), num_epochs=2, placing=training.Placing(random_start=True)
    )
    assert sorted(files) == ["end", "instance_0001"]
    model = tiny.learner(prox_weight=0.1)
    start = np.array(normalized(model.criterion.head.proxies))
    moved = np.linalg.norm(before[1] - start, axis=-1)
    np.testing.assert_allclose(files["instance_0001"]["old_moved"], moved, rtol=1e-4, atol=1e-5)


def test_what_an_earlier_attempt_left_behind_is_dropped(tmp_path):
    (tmp_path / "instance_0007.npz").write_bytes(b"")
    files, _, _ = run(tmp_path, Pool(), num_epochs=1)
    assert sorted(files) == ["end", "instance_0000"]


def test_two_replicas_record_what_one_does(tmp_path, two_replicas):
    one = run(tmp_path / "one", Pool())[0]
    with two_replicas.scope():
        two = run(tmp_path / "two", Pool())[0]
    assert one.keys() == two.keys()
    for name, arrays in one.items():
        for key, array in arrays.items():
            np.testing.assert_allclose(two[name][key], array, rtol=1e-4, atol=1e-4)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file", Pool(), num_epochs=1)
