"""The description of a run, by the objects that it trains."""

import math
from collections.abc import Sequence

import tensorflow as tf

from ccpdml import compat, losses
from ccpdml.reports.statements import Statement
from ccpdml.training import ProxyReinitialization


def of(
    learner: tf.keras.Model,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    seed: int,
    fold: int | None = None,
) -> Statement:
    """States what is trained.

    Args:
        learner: the `MetricLearner`.
        callbacks: those of its `fit`.
        seed: of the run, int.
        fold: the fold that validates, int; None where nothing was cut into folds.
    """
    criterion = learner.criterion
    has_loss = isinstance(criterion, losses.WithPairLoss)
    has_proxies = isinstance(criterion, losses.WithProxies)
    return Statement(
        criterion=type(criterion).__name__,
        loss=type(criterion.loss).__name__ if has_loss else None,
        dim=int(learner.encoder.output_shape[-1]),
        proxies_per_class=criterion.head.proxies_per_class if has_proxies else None,
        is_static=has_proxies and not any(map(_places_anew, callbacks)),
        seed=seed,
        fold=fold,
        backbone=_backbone(learner.encoder),
        weights=_number(learner.encoder.weights),
        trained_weights=_number(learner.encoder.trainable_weights),
        stack=f"TensorFlow {tf.__version__}, Keras {compat.keras_version()}",
    )


def _places_anew(callback):
    """Tells whether a callback moves proxies to another core-set while the run goes on."""
    return isinstance(callback, ProxyReinitialization) and callback.max_instances != 1


def _backbone(encoder):
    """The name of the network that an encoder was joined from, or its own."""
    networks = [layer for layer in encoder.layers if isinstance(layer, tf.keras.Model)]
    return (networks[0] if len(networks) == 1 else encoder).name


def _number(weights):
    return sum(math.prod(weight.shape) for weight in weights)
