"""What trains of a backbone: additions to its kernels, or nothing."""

import pathlib

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat, config, layers, losses, models, training
from tests.training import processes

ROOT = pathlib.Path(__file__).parents[2]
ADAPTATIONS = [
    "frozen",
    pytest.param(
        "lora", marks=pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no LoRA")
    ),
]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(16, 8, 8, 3), dtype=np.uint8)
LABELS = np.repeat(np.arange(4), 4).astype(np.int32)


def vit(input_shape):
    return models.small_vit(input_shape, patch_size=4, width=8, depth=2, num_heads=2)


def adapted(kind, **arguments):
    def backbone(input_shape):
        return getattr(models, kind)(input_shape, vit, **arguments)

    return models.build_encoder((8, 8, 3), backbone, embedding_size=4, pooling="cls")


def trained(encoder, steps=3, **arguments):
    criterion = losses.ChanceConstrainedLoss(losses.MultiSimilarityLoss(), 4, proxies_per_class=2)
    learner = training.MetricLearner(
        encoder, criterion, preprocess=models.scale_to_unit_range, **arguments
    )
    learner.compile(tf.keras.optimizers.Adam(1e-2))
    batches = tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat(steps)
    learner.fit(batches, verbose=0)
    return learner


def values(weights):
    return [tf.convert_to_tensor(weight).numpy() for weight in weights]


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_only_the_head_and_additions_train_and_the_export_is_of_plain_layers(kind, tmp_path):
    encoder = adapted(kind)
    plain = values(vit((8, 8, 3)).weights)
    before = values(encoder.weights)
    learner = trained(encoder)
    moved = {
        weight.name
        for weight, old, new in zip(encoder.weights, before, values(encoder.weights), strict=True)
        if not np.array_equal(old, new)
    }
    additions = {"lora_kernel_a", "lora_kernel_b"} if kind == "lora" else set()
    assert {name.split("/")[-1].split(":")[0] for name in moved} == {"kernel"} | additions
    alone = models.standalone(encoder, layers.UnitNormalization())
    assert [value.shape for value in values(alone.weights)][:-1] == [v.shape for v in plain]
    expected = layers.UnitNormalization()(learner.predict_raw(IMAGES))
    alone.save(tmp_path / "encoder.keras")
    again = tf.keras.models.load_model(tmp_path / "encoder.keras")
    for model in (alone, again):
        found = model(models.scale_to_unit_range(IMAGES))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_the_prox_term_and_decay_hold_exactly_what_trains(kind):
    learner = trained(adapted(kind), steps=1, weight_decay=0.1)
    learner.add_prox()
    shapes = [tuple(weight.shape) for weight in learner.encoder.trainable_variables]
    assert [tuple(copy.shape) for copy in learner.prox_center.copies] == shapes
    assert len(learner.decayed) == len(shapes) + len(learner.criterion_weights)
    assert len(shapes) == (1 if kind == "frozen" else 1 + 2 * 13)


@pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no LoRA")
def test_additions_begin_at_nothing_and_have_the_rank():
    tf.keras.utils.set_random_seed(3)
    whole = models.build_encoder((8, 8, 3), vit, embedding_size=4, pooling="cls")
    tf.keras.utils.set_random_seed(3)
    encoder = adapted("lora", rank=3)
    inputs = models.scale_to_unit_range(IMAGES)
    encoder.layers[-1].set_weights(whole.layers[-1].get_weights())
    np.testing.assert_allclose(encoder(inputs), whole(inputs), rtol=1e-5, atol=1e-6)
    ranks = [w.shape[-1] for w in encoder.trainable_variables if w.name == "lora_kernel_a"]
    assert set(ranks) == {3}


@pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no LoRA")
def test_a_network_without_dense_layers_is_refused():
    with pytest.raises(ValueError, match=r"`lora.backbone` to a transformer.*small_cnn"):
        models.lora((8, 8, 3), lambda shape: models.small_cnn(shape, (4,)))


@pytest.mark.skipif(compat.KERAS_3, reason="Keras 3 has LoRA")
def test_keras_2_is_told_by_name():
    with pytest.raises(ValueError, match="need Keras 3.*Received: Keras 2"):
        models.lora((8, 8, 3), vit)


@pytest.mark.usefixtures("without_figures")
@pytest.mark.skipif(not compat.KERAS_3, reason="Keras 2 has no LoRA")
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path, monkeypatch):
    bindings = [
        "train.data = @data.load",
        "data.load.name = 'digits'",
        "train.encoder = @build_encoder",
        "train.optimizer = @tf.keras.optimizers.Adam",
        "train.classes_per_batch = 3",
        "build_encoder.backbone = @lora",
        "lora.backbone = @small_vit",
        "build_encoder.pooling = 'cls'",
        "small_vit.patch_size = 4",
        "small_vit.width = 8",
        "small_vit.depth = 1",
        "small_vit.num_heads = 2",
        "build_encoder.layer_decay = 0.5",
        "train.steps = 3",
        "train.evaluate_every = 1",
        "ProxyReinitialization.patience = None",
        "ProxyReinitialization.period = 1",
        "train.deterministic = True",
    ]

    def run(run_dir):
        gin.clear_config()
        parts = ("losses/ms", "methods/ccp", "methods/ccp_digits")
        config.load([ROOT / "gin" / f"{part}.gin" for part in parts], bindings)
        return training.Experiment(run_dir).run()

    ran = run(tmp_path / "whole")["ran"]
    assert 0 < ran["trained_weights"] < ran["weights"]

    def stop(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.ProgressBar, "on_epoch_begin", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts")
    run(tmp_path / "parts")
    processes.assert_same_run(tmp_path / "whole", tmp_path / "parts")
