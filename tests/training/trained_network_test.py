"""A run goes on from the encoder that another left: same embeddings at first, then training."""

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import config, data, layers, models, training
from ccpdml.serving import description

RUN = """
train.data = @data.load
data.load.name = 'digits'
train.encoder = @build_encoder
build_encoder.backbone = @trained_network
build_encoder.embedding_size = 6
build_encoder.pooling = 'both'
train.criterion = @ProxyAnchorLoss
train.optimizer = @tf.keras.optimizers.Adam
tf.keras.optimizers.Adam.learning_rate = 1e-3
train.steps = 2
train.evaluate_every = 2
train.classes_per_batch = 4
train.samples_per_class = 2
train.tensorboard = False
"""


def network(input_shape):
    """A small network whose batch normalization has seen images."""
    small = models.small_cnn(input_shape, filters=(4, 8))
    for layer in small.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_mean.assign(tf.ones_like(layer.moving_mean) / 8)
    return small


@pytest.fixture
def first(tmp_path):
    """An encoder of digits and the directory of the run that left it; batch norm was at rest."""
    tf.keras.utils.set_random_seed(0)
    encoder = models.build_encoder((8, 8, 1), network, 6, pooling="both", freeze_bn=True)
    return left_by_a_run(encoder, tmp_path)


def left_by_a_run(encoder, tmp_path):
    normalization = layers.LipschitzNormalization()
    left = models.standalone(encoder, normalization)
    (tmp_path / "first").mkdir()
    left.save(tmp_path / "first" / "encoder.keras")
    described = description.describe(
        left, data.views.Plain(), models.scale_to_unit_range, normalization
    )
    description.write(tmp_path / "first" / description.FILE_NAME, described)
    return encoder, tmp_path / "first"


def transformer(input_shape):
    return models.small_vit(input_shape, patch_size=4, width=8, depth=1, num_heads=2)


@pytest.mark.parametrize("pooling", layers.GlobalPooling.KINDS)
def test_tokens_are_gone_on_with(tmp_path, pooling):
    encoder, directory = left_by_a_run(
        models.build_encoder((8, 8, 1), transformer, 6, pooling), tmp_path
    )
    learner, _ = experiment(tmp_path, directory, f"build_encoder.pooling = '{pooling}'").build()
    expected = encoder(images())
    np.testing.assert_allclose(learner.encoder(images()), expected, rtol=1e-4, atol=1e-5)


def test_a_head_behind_a_pooling_with_weights_is_not_kept(tmp_path):
    made = models.build_encoder((8, 8, 1), transformer, 6, layers.GeneralizedMeanPooling)
    _, directory = left_by_a_run(made, tmp_path)
    pooling = "build_encoder.pooling = @GeneralizedMeanPooling"
    with pytest.raises(ValueError, match="trained_network.keep_head = False"):
        experiment(tmp_path, directory, pooling).build()
    experiment(tmp_path, directory, pooling, "trained_network.keep_head = False").build()


def experiment(folder, path, *bindings):
    """The run of `RUN` as `run.py` makes it."""
    (folder / "again.gin").write_text(RUN)
    gin.clear_config()
    config.load([folder / "again.gin"], [f"trained_network.path = '{path}'", *bindings])
    return training.Experiment(folder / "again")


def images():
    return 20 * np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")


def test_a_run_begins_where_the_other_ended(first, tmp_path):
    encoder, directory = first
    learner, _ = experiment(tmp_path, directory).build()
    expected = encoder(images()).numpy()
    assert np.linalg.norm(expected, axis=-1).max() > 1.0  # Normalization would be seen.
    np.testing.assert_allclose(learner.encoder(images()), expected, rtol=1e-5, atol=1e-6)
    assert learner.preprocess is models.scale_to_unit_range
    # All of it learns, batch normalization too, unless `freeze_bn` says otherwise.
    assert len(learner.encoder.trainable_variables) == 2 * 3 + 1


def test_it_trains_and_leaves_an_encoder_to_go_on_from_again(first, tmp_path):
    run = experiment(tmp_path, first[1])
    built = run.assemble()
    learner = built.learner
    before = learner.encoder(images()).numpy()
    learner.fit(run.batches(0), steps_per_epoch=2, shuffle=False, verbose=0)
    run.output_dir.mkdir(exist_ok=True)
    training.results.write_encoder(*built.standalone(), run.output_dir)
    again, _ = experiment(tmp_path, tmp_path / "again" / "encoder.keras").build()
    after = again.encoder(images()).numpy()
    np.testing.assert_allclose(after, learner.encoder(images()), rtol=1e-5, atol=1e-6)
    assert 1e-4 < np.abs(after - before).max() < 10.0


def test_a_new_head_may_have_another_size(first, tmp_path):
    encoder, directory = first
    bindings = ["trained_network.keep_head = False", "build_encoder.embedding_size = 3"]
    learner, _ = experiment(
        tmp_path, directory, *bindings, "build_encoder.freeze_bn = True"
    ).build()
    assert learner.encoder.output_shape == (None, 3)
    assert len(learner.encoder.trainable_variables) == 2 + 1
    for new, old in zip(learner.encoder.weights, encoder.weights[:-1], strict=False):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("build_encoder.embedding_size = 3", "embedding_size = 6.*keep_head = False"),
        ("build_encoder.pooling = 'avg'", "pooling = 'both'"),
        ("train.preprocess = @keep_range", "scale_to_unit_range.*train.preprocess=@keep_range"),
    ],
)
def test_contradictions_to_the_encoder_are_refused(first, tmp_path, binding, message):
    with pytest.raises(ValueError, match=message):
        experiment(tmp_path, first[1], binding).build()


def test_images_of_another_shape_are_refused(first):
    with pytest.raises(ValueError, match=r"takes images \(8, 8, 1\).*Received.*9, 9, 1"):
        training.trained_network((9, 9, 1), first[1])


def test_what_no_run_left_is_refused(first, tmp_path):
    _, directory = first
    inputs = tf.keras.Input((8, 8, 1))
    flat = tf.keras.layers.Dense(2)(tf.keras.layers.Flatten()(inputs))
    tf.keras.Model(inputs, flat).save(directory / "encoder.keras")
    with pytest.raises(ValueError, match="saved_network"):
        training.trained_network((8, 8, 1), directory)
    with pytest.raises(ValueError, match="trained_network"):
        models.saved_network((8, 8, 1), directory / "encoder.keras")
