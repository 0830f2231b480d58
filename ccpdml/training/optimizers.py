"""Two optimizers in step: one for the encoder, a faster one for the proxies."""

import gin
import tensorflow as tf


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class LinkedLearningRate(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A multiple of another optimizer's current learning rate, whatever sets that one."""

    def __init__(self, optimizer, multiplier):
        self.optimizer = optimizer
        self.multiplier = multiplier

    def __call__(self, step):
        rate = tf.cast(tf.convert_to_tensor(self.optimizer.learning_rate), tf.float32)
        return self.multiplier * rate

    def get_config(self):
        return {"multiplier": self.multiplier}


def linked_copy(optimizer, multiplier):
    """Builds an optimizer of the same kind that learns `multiplier` times as fast.

    Multiplying gradients would change nothing under Adam, which divides their size out again.

    Args:
        optimizer: the `tf.keras.optimizers.Optimizer` to follow; its learning rate may be changed
            by schedules and callbacks at any time.
        multiplier: factor on the learning rate, float above 0.
    """
    rate = LinkedLearningRate(optimizer, multiplier)
    config = optimizer.get_config() | {"learning_rate": rate, "name": f"linked_{optimizer.name}"}
    return type(optimizer).from_config(config)


def overwrite(optimizer, other):
    """Gives an optimizer the state (moments, iterations) of another one of its kind."""
    for variable, value in zip(optimizer.variables, other.variables, strict=True):
        variable.assign(tf.convert_to_tensor(value))
