"""Layers of a backbone by depth, stem, blocks and what comes after, and how fast they learn."""

import tensorflow as tf

from ccpdml import compat

_MERGES = (tf.keras.layers.Add, tf.keras.layers.Concatenate)
_NORMALIZATION = tf.keras.layers.LayerNormalization


def rates(network: tf.keras.Model, decay: float) -> dict[int, float]:
    """Layer-wise learning rates of a backbone.

    Blocks of a transformer are those of attention and dense layers. Those of a convolutional
    network end where ways come together again (`Add`, `Concatenate`), or, where none do, are its
    convolutions. The stem is what comes before them: patches and places, or the first convolution
    with its normalization.

    Args:
        network: a Keras model of images.
        decay: factor from one block to the one before it, float in (0, 1].

    Returns:
        Share of the learning rate of each weight, by its `id`: `decay ** (n + 1)` for the stem of n
        blocks, `decay ** (n + 1 - l)` for block l of 1..n. What comes after the last block, such as
        a final normalization, learns at the whole rate and is not among them.

    Raises:
        ValueError: if there are no blocks to order, or nothing of the network trains.

    Source: Clark et al., "ELECTRA" (ICLR 2020), appendix A; the numbers of layers as in Bao et al.,
        "BEiT" (ICLR 2022).
    """
    if not network.trainable_weights:
        raise ValueError(
            "`build_encoder.layer_decay` is of the backbone, of which nothing trains here: leave "
            f"it at 1.0. Received: layer_decay={decay}, backbone={network.name}"
        )
    units = list(_units(network))
    starts, end = _starts(units)
    if not starts:
        raise ValueError(
            "`build_encoder.layer_decay` orders the blocks of a transformer, or the convolutions "
            "of a convolutional network, of which there must be two: leave it at 1.0 with this "
            f"backbone. Received: layer_decay={decay}, backbone={network.name}"
        )
    found: dict[int, float] = {}
    for place, unit in enumerate(units[:end]):
        depth = sum(start <= place for start in starts)
        rate = decay ** (len(starts) + 1 - depth)
        found |= {id(weight): rate for weight in unit.weights}
    return found


def _units(layer):
    """The blocks and other layers of a network, in their order."""
    children = compat.children(layer)
    if isinstance(layer, tf.keras.Model) or any(_holds_block(each) for each in children):
        for each in children:
            yield from _units(each)
    else:
        yield layer


def _starts(units):
    """Places of the units that blocks begin with, and where the last one ends."""
    blocks = [place for place, unit in enumerate(units) if _holds_block(unit)]
    if blocks:
        return blocks, blocks[-1] + 1
    merges = [place for place, unit in enumerate(units) if isinstance(unit, _MERGES)]
    attention = [place for place, unit in enumerate(units) if _is_attention(unit)]
    if attention:
        # Normalized before the attention, as in most, or after it.
        is_before = [isinstance(units[place - 1], _NORMALIZATION) for place in attention]
        starts = [place - is_first for place, is_first in zip(attention, is_before, strict=True)]
        return starts, 1 + max([*merges, *attention])
    convolutions = [i for i, unit in enumerate(units) if _is_convolution(unit)][1:]
    if not merges or not convolutions:
        return convolutions, len(units)
    starts = [convolutions[0], *(place + 1 for place in merges if place > convolutions[0])]
    return starts[:-1], starts[-1]


def _is_attention(layer):
    return "Attention" in type(layer).__name__


def _is_convolution(layer):
    return "Conv" in type(layer).__name__ and bool(layer.weights)


def _holds_block(layer):
    """Tells whether a layer is a block of a transformer, or holds some."""
    inner = compat.sublayers(layer)[1:]
    return (
        not _is_attention(layer)
        and any(isinstance(each, _NORMALIZATION) for each in inner)
        and any(_is_attention(each) for each in inner)
    )
