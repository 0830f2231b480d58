"""A learner small enough for a test: 16 numbers in, a point of the plane out."""

import numpy as np
import tensorflow as tf

from ccpdml import losses, training

NUM_CLASSES, SIZE, DIM = 4, 16, 3


def batches(num_batches, seed=0):
    """Batches of 4 classes x 4 samples around class centers: float32 [n, 16, 16], int32 [n, 16]."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(NUM_CLASSES, SIZE))
    labels = np.tile(np.repeat(np.arange(NUM_CLASSES), 4), (num_batches, 1))
    images = centers[labels] + 0.5 * rng.normal(size=(*labels.shape, SIZE))
    return images.astype("float32"), labels.astype("int32")


def dataset(num_batches=1000, seed=0):
    """The same as an endless dataset."""
    return tf.data.Dataset.from_tensor_slices(batches(num_batches, seed)).repeat()


def encoder(activation="relu"):
    """A hidden layer of 8 and a linear one, with weights that depend on the global seed only."""
    layers = [tf.keras.layers.Dense(8, activation=activation), tf.keras.layers.Dense(DIM)]
    return tf.keras.Sequential([tf.keras.Input((SIZE,)), *layers])


def learner(criterion=None, optimizer=None, steps_per_execution=5, activation="relu", **kwargs):
    """A compiled learner with CCP on C2, unless another criterion is given."""
    tf.keras.utils.set_random_seed(3)
    if criterion is None:
        criterion = losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), NUM_CLASSES, 2)
    model = training.MetricLearner(encoder(activation), criterion, **kwargs)
    model.compile(optimizer or tf.keras.optimizers.Adam(0.01), steps_per_execution)
    return model


def weights(model):
    """The weights of encoder and criterion as one vector."""
    parts = model.encoder.get_weights() + model.criterion.get_weights()
    return np.concatenate([np.ravel(w) for w in parts])
