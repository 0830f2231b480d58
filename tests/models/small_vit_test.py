"""The small vision transformer: shapes of images, precision, runs, replicas and exports."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import config, losses, models, serving, training

GIN = Path(__file__).parents[2] / "gin"
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(4), 2).astype(np.int32)
# A color each class, and noise; in images that are not square.
COLORS = RNG.integers(40, 216, size=(4, 1, 1, 3))[LABELS]
IMAGES = np.clip(COLORS + RNG.normal(0, 10, (8, 8, 12, 3)), 0, 255).astype(np.uint8)


def vit(input_shape):
    return models.small_vit(input_shape, patch_size=4, width=8, depth=1, num_heads=2)


def trained(steps, strategy=None, optimizer=None, **arguments):
    """A learner with CCP, and its losses of the images before and after `steps` steps."""
    tf.keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        encoder = models.build_encoder((8, 12, 3), vit, embedding_size=4, pooling="cls_and_patches")
        criterion = losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), 4, proxies_per_class=2)
        learner = training.MetricLearner(
            encoder, criterion, preprocess=models.scale_to_unit_range, **arguments
        )
        learner.compile(optimizer or tf.keras.optimizers.Adam(1e-3), steps_per_execution=steps)
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(8, True)
    before = learner.criterion(learner(IMAGES), LABELS)
    learner.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
    return learner, float(before), float(learner.criterion(learner(IMAGES), LABELS))


def test_images_of_any_aspect_have_a_token_for_each_patch_and_one_more():
    assert vit((8, 20, 3)).output_shape == (None, 1 + 2 * 5, 8)


@pytest.mark.parametrize("shape", [(30, 32, 3), (32, 30, 1)])
def test_patches_that_do_not_divide_the_image_are_refused_by_name(shape):
    expected = rf"`small_vit.patch_size`.*`CenterCrop.size`.*{re.escape(str(shape))}, patch_size=4"
    with pytest.raises(ValueError, match=expected):
        vit(shape)


def test_16_bits_and_xla_train_to_the_loss_of_32_bits():
    _, before, loss = trained(100)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    _, _, in_16_bits = trained(100, jit_compile=True)
    assert loss < 0.7 * before
    assert abs(in_16_bits - loss) <= 1e-2


def test_two_replicas_train_as_one(two_replicas):
    (one, *_), (two, *_) = (
        trained(2, strategy, tf.keras.optimizers.SGD(0.1)) for strategy in (None, two_replicas)
    )
    weights = [each.encoder.get_weights() + each.criterion.get_weights() for each in (two, one)]
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def run(run_dir, backbone, pooling):
    """Two steps of a run file with CCP on digits."""
    bindings = [
        "train.data = @data.load",
        "data.load.name = 'digits'",
        "train.encoder = @build_encoder",
        "train.optimizer = @tf.keras.optimizers.Adam",
        "train.classes_per_batch = 3",
        f"build_encoder.backbone = @{backbone}",
        f"build_encoder.pooling = '{pooling}'",
        *(["frozen.backbone = @small_vit"] if backbone == "frozen" else []),
        "small_vit.patch_size = 4",
        "small_vit.width = 8",
        "small_vit.depth = 1",
        "small_vit.num_heads = 2",
        "train.steps = 2",
        "train.evaluate_every = 2",
    ]
    parts = ("losses/ms", "methods/ccp", "methods/ccp_digits")
    config.load([GIN / f"{part}.gin" for part in parts], bindings)
    return training.Experiment(run_dir).run()


def test_a_run_trains_it_with_ccp_and_its_exports_are_the_encoder(tmp_path, without_figures):
    run(tmp_path / "run", "small_vit", "cls")
    formats = ["saved_model", "tflite"]
    if importlib.util.find_spec("tf2onnx") is not None:
        formats.append("onnx")
    encoder = serving.load_encoder(tmp_path / "run")
    serving.export(encoder, tmp_path / "out", formats, tolerance=1e-5)


def test_a_run_trains_a_head_on_a_frozen_one(tmp_path, without_figures):
    run(tmp_path, "frozen", "patches")
    with (tmp_path / "results.json").open() as file:
        assert "test" in json.load(file)
