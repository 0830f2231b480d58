"""Backbones of Keras and of users, and what each wants its images to be."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import models
from ccpdml.models import applications

NETWORKS = [
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2S",
    "ConvNeXtTiny",
    "MobileNet",
    "MobileNetV3Small",
    "InceptionV3",
    "Xception",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_convention_is_that_of_keras(name):
    images = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("uint8")
    module = importlib.import_module(getattr(tf.keras.applications, name).__module__)
    expected = module.preprocess_input(images.astype("float32"))
    result = applications.convention_of(name)(images)
    # Keras subtracts Caffe's rounded mean, which is up to 0.6 of 255 away from ImageNet's.
    np.testing.assert_allclose(
        result, expected, atol=0.6 if name in ("ResNet50", "VGG16") else 1e-4
    )


def test_mean_is_subtracted_from_reversed_channels():
    image = np.full((1, 1, 1, 3), (10, 20, 30), "uint8")
    expected = [30 - 255 * 0.406, 20 - 255 * 0.456, 10 - 255 * 0.485]
    np.testing.assert_allclose(models.subtract_mean_bgr(image)[0, 0, 0], expected, rtol=1e-6)


def test_a_keras_network_becomes_an_encoder():
    def backbone(shape):
        return models.keras_application(shape, "MobileNet", weights=None)

    encoder = models.build_encoder((32, 32, 3), backbone, embedding_size=5, pooling="both")
    assert encoder.output_shape == (None, 5)
    assert encoder.preprocess is models.scale_to_unit_range
    images = tf.random.stateless_normal((2, 32, 32, 3), (0, 0))
    np.testing.assert_allclose(models.standalone(encoder)(images), encoder(images), atol=1e-5)


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="Received: name='ResNet51'"):
        models.keras_application((32, 32, 3), "ResNet51")


def test_weights_that_cannot_be_downloaded_are_an_error_that_says_what_to_do(monkeypatch):
    def offline(**kwargs):
        raise Exception("URL fetch failure on https://weights")

    monkeypatch.setattr(tf.keras.applications, "ResNet50", offline)
    with pytest.raises(FileNotFoundError, match=r"small\.gin.*freeze_bn = False"):
        models.resnet50((32, 32, 3))


def test_batch_norm_of_random_weights_cannot_rest():
    with pytest.raises(ValueError, match=r"freeze_bn = False.* Received: freeze_bn=True"):
        models.build_encoder((8, 8, 3), models.small_cnn, freeze_bn=True)


def test_batch_norm_with_statistics_and_a_network_without_it_may_rest():
    def trained(shape):
        network = models.small_cnn(shape, filters=(4,))
        network.layers[2].moving_mean.assign([1.0, 2.0, 3.0, 4.0])
        return network

    encoder = models.build_encoder((8, 8, 3), trained, freeze_bn=True)
    assert len(encoder.trainable_variables) == 2  # a convolution and the head
    models.build_encoder((8, 8, 3), lambda s: models.small_cnn(s, (4,), False), freeze_bn=True)


def test_a_saved_network_is_a_backbone(tmp_path):
    network = models.small_cnn((8, 8, 3), filters=(4,))
    network.save(tmp_path / "own.keras")
    images = tf.random.stateless_normal((2, 8, 8, 3), (0, 0))
    own = models.saved_network((8, 8, 3), tmp_path / "own.keras")
    np.testing.assert_allclose(own(images), network(images), atol=1e-6)
    with pytest.raises(ValueError, match="feature map"):
        models.saved_network((9, 9, 3), tmp_path / "own.keras")
