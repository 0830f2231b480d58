"""InBatch: what stock Keras can minimize."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses


def test_a_loss_that_learns_is_refused():
    with pytest.raises(ValueError, match="BatchPairs.*MarginLoss.*beta"):
        losses.InBatch(losses.MarginLoss(learn_beta=True))


@pytest.mark.parametrize(
    "make",
    [
        losses.TripletLoss,
        lambda: losses.BatchPairs(losses.TripletLoss()),
        lambda: losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), 4, 2),
        lambda: losses.CrossBatchMemory(losses.ContrastiveLoss()),
    ],
)
@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_stock_compile_is_told_what_to_do_with_a_loss(make, shape):
    # Eager: nothing is compiled before the loss is called.
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3)])
    model.compile("sgd", loss=make(), run_eagerly=True)
    labels = np.repeat(np.arange(4), 2).reshape(shape)
    with pytest.raises(ValueError, match=r"losses\.InBatch.*MetricLearner"):
        model.fit(np.ones((8, 4), "float32"), labels, verbose=0)
