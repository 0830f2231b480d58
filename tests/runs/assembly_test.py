"""Runs that are built in Python: assembled, gone on with, and told apart."""

import dataclasses
import functools
import json

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import config, data, losses, models, runs, training
from ccpdml.runs import identity


class Seen(tf.keras.callbacks.Callback):
    """Notes the epochs of every run of this process."""

    epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, "covering_radius_after" in logs))


def recipe(steps=4, patience=60, margin=0.1, **schedule):
    network = functools.partial(models.small_cnn, filters=(4,))
    loss = functools.partial(losses.ChanceConstrainedLoss, losses.TripletLoss(margin))
    return runs.Recipe(
        runs.Data(functools.partial(data.load, "digits")),
        runs.Model(
            functools.partial(models.build_encoder, backbone=network, embedding_size=4),
            functools.partial(loss, proxies_per_class=2),
            tf.keras.optimizers.Adam,
        ),
        runs.Batches(classes_per_batch=4, samples_per_class=4),
        runs.Schedule(
            steps,
            evaluate_every=2,
            early_stopping=functools.partial(training.EarlyStopping, patience=patience),
            reinitialization=functools.partial(training.ProxyReinitialization, period=1),
            pool=functools.partial(training.PoolDraw, pool_size=4),
            **schedule,
        ),
    )


class InOrder:
    """A sampler that has no more than it must."""

    def __init__(self, labels, classes_per_batch, samples_per_class, seed):
        self.num_images = len(labels)
        self.batch_size = classes_per_batch * samples_per_class

    def batch(self, step):
        return (step * self.batch_size + np.arange(self.batch_size)) % self.num_images


def test_a_sampler_may_be_somebody_elses_if_it_is_one():
    made = dataclasses.replace(recipe(), batches=runs.Batches(4, 4, sampler=InOrder))
    _, labels = next(iter(runs.assemble(made).prepared.batches(1)))
    np.testing.assert_array_equal(labels, data.load("digits").train.labels[16:32])
    made = dataclasses.replace(recipe(), batches=runs.Batches(4, 4, sampler=lambda *_: object()))
    with pytest.raises(ValueError, match=r"`train.sampler` must make .* Received: object"):
        runs.assemble(made)


def test_views_of_two_shapes_are_refused_unless_the_network_takes_both():
    made = recipe()
    smaller = functools.partial(Cut, size=6)
    uneven = dataclasses.replace(made, data=dataclasses.replace(made.data, evaluation_view=smaller))
    with pytest.raises(ValueError, match=r"\(8, 8, 1\) of Plain, \(6, 6, 1\) of Cut"):
        runs.assemble(uneven)
    model = dataclasses.replace(made.model, encoder=_of_any_size)
    runs.assemble(dataclasses.replace(uneven, model=model))


def _of_any_size(input_shape):
    layers = [tf.keras.layers.Conv2D(4, 3), tf.keras.layers.GlobalAveragePooling2D()]
    return tf.keras.Sequential([tf.keras.Input((None, None, 1)), *layers])


class Cut:
    """A view of pixels in memory: a corner of them."""

    reads_files = False

    def __init__(self, size):
        self.size = size

    def __call__(self, images, seeds):
        return images[:, : self.size, : self.size]


def test_a_run_is_assembled_fitted_and_written(tmp_path, op_determinism):
    gin.clear_config()
    run = runs.assemble(recipe(callbacks=(Seen,)), tmp_path)
    finished = run.fit()
    written = runs.write(finished, tmp_path)
    with pytest.raises(FileExistsError, match="is there already"):
        runs.write(finished, tmp_path)
    assert Seen.epochs == [(0, True), (1, True)]
    assert json.loads((tmp_path / "results.json").read_text()) == written
    ran = written["ran"]
    assert (ran["criterion"], ran["loss"]) == ("ChanceConstrainedLoss", "TripletLoss")
    assert (ran["dim"], ran["proxies_per_class"], ran["is_static"]) == (4, 2, False)
    assert (ran["seed"], ran["fold"], ran["backbone"]) == (0, 0, "small_cnn")
    weights = run.learner.encoder.weights
    assert ran["weights"] == sum(np.size(weight) for weight in weights) > ran["trained_weights"] > 0
    assert [row["step"] for row in finished.trained.history] == [2, 4]
    loaded = tf.keras.models.load_model(tmp_path / "encoder.keras")
    images = run.learner.preprocess(run.splits.test.images[:5])
    np.testing.assert_allclose(loaded(images), finished.test.query[:5], atol=1e-5)
    # It is over: nothing is trained again, and the weights are the same.
    again = runs.assemble(recipe(callbacks=(Seen,)), tmp_path).fit()
    assert len(Seen.epochs) == 2
    np.testing.assert_array_equal(again.test.query, finished.test.query)
    _refuses_others(tmp_path)


def _refuses_others(run_dir):
    for other in (recipe(patience=7, callbacks=(Seen,)), recipe(margin=0.2, callbacks=(Seen,))):
        with pytest.raises(config.ConfigError, match="of another configuration.*They differ in"):
            runs.claims.refuse_other(run_dir, {}, identity.of(other))
    (run_dir / runs.claims.RECIPE).unlink()
    with pytest.raises(config.ConfigError, match="earlier version, built in Python"):
        runs.claims.refuse_other(run_dir, {}, identity.of(recipe(callbacks=(Seen,))))


def test_a_recipe_is_told_by_every_value_in_it():
    assert identity.of(recipe()) == identity.of(recipe())
    told = identity.of(recipe())
    for other in (recipe(patience=7), recipe(margin=0.2), recipe(steps=6), recipe(seed=1)):
        different = {name for name, value in identity.of(other).items() if told[name] != value}
        assert len(different) == 1, different


def test_functions_without_a_name_are_told_by_what_they_do_and_hold():
    def loading(name, root=None):
        return lambda: data.load(name, root)

    def told(function):
        return identity.told(function, "data.load")

    assert told(loading("digits")) == told(loading("digits"))
    assert told(loading("digits")) != told(loading("glyphs"))
    assert told(lambda: 1) != told(lambda: 2)
    assert told(np.arange(3)) != told(np.arange(4))
    with pytest.raises(ValueError, match=r"`data.load` must be, or be made of, plain values"):
        told(loading(object()))


def test_a_group_is_frozen_and_holds_what_it_declares():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().schedule.steps = 7
    with pytest.raises(ValueError, match=r"`Schedule.steps` must be an integer of at least 1"):
        recipe(steps=0)
    with pytest.raises(ValueError, match=r"`train.reinitialization` and `train.pool` together"):
        runs.Schedule(4, 2, pool=training.PoolDraw)
