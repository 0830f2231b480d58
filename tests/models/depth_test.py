"""Depth of the weights of a backbone."""

import collections

import pytest
import tensorflow as tf

from ccpdml import models
from ccpdml.models import depth


def vit(input_shape):
    return models.small_vit(input_shape, patch_size=4, width=8, depth=3, num_heads=2)


def weights_by_rate(network):
    """Number of trainable weights of each rate, for a decay of a half; 1.0 after the blocks."""
    found = depth.rates(network, 0.5)
    return collections.Counter(found.get(id(weight), 1.0) for weight in network.trainable_weights)


def test_blocks_of_a_transformer_are_found_in_a_file_as_well(tmp_path):
    network = vit((8, 8, 3))
    network.save(tmp_path / "vit.keras")
    # Kernel and bias of patches; a block has two normalizations, attention (4 maps) and 2 dense.
    expected = {1 / 16: 2, 1 / 8: 16, 1 / 4: 16, 1 / 2: 16, 1.0: 2}
    for each in (network, tf.keras.models.load_model(tmp_path / "vit.keras")):
        assert weights_by_rate(each) == expected


def test_residual_blocks_are_those_of_a_resnet():
    network = models.resnet50_torch((32, 32, 3), weights=None)
    found = depth.rates(network, 0.5)
    layers = {
        17: ["conv1", "bn1"],  # Below 3 + 4 + 6 + 3 blocks.
        16: ["layer1_0_conv1", "layer1_0_downsample_0"],
        13: ["layer2_0_conv1", "layer2_0_downsample_0"],
        1: ["layer4_2_conv1", "layer4_2_bn3"],
    }
    for power, names in layers.items():
        weights = [weight for name in names for weight in network.get_layer(name).weights]
        assert {found[id(weight)] for weight in weights} == {0.5**power}
    assert 1.0 not in weights_by_rate(network)


def test_convolutions_are_the_blocks_where_no_ways_come_together():
    network = models.small_cnn((16, 16, 3), filters=(4, 4, 4))
    assert weights_by_rate(network) == {1 / 8: 3, 1 / 4: 3, 1 / 2: 3}


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (lambda shape: models.small_cnn(shape, filters=(4,)), "must be two.*backbone=small_cnn"),
        (lambda shape: models.frozen(shape, vit), "nothing trains.*backbone=small_vit"),
    ],
    ids=["one convolution", "frozen"],
)
def test_what_has_no_layers_to_order_is_refused(backbone, message):
    with pytest.raises(ValueError, match=f"build_encoder.layer_decay.*{message}"):
        models.build_encoder((8, 8, 3), backbone, layer_decay=0.5)
