"""Optimizers in step: one for the encoder, a faster one for each weight of the criterion."""

import tensorflow as tf

from ccpdml import compat


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


class FusedAdam(tf.keras.optimizers.Adam):
    """Adam whose step is one TensorFlow kernel, in place.

    Keras's own is a dozen operations, each of which reads and writes arrays of the size of the
    weight. Proxies are one large weight: its time and memory count.
    """

    def update_step(self, gradient, variable, learning_rate=None):
        """One step of `variable`; Keras 2 gives no `learning_rate`, but keeps the current one."""
        rate = self.learning_rate if learning_rate is None else learning_rate
        index = compat.variable_index(self, variable)
        moments = [compat.raw(slots[index]) for slots in (self._momentums, self._velocities)]
        step = tf.convert_to_tensor(self.iterations) + 1
        beta_1, beta_2, rate, epsilon, step = (
            tf.cast(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, rate, self.epsilon, step)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moments[0].handle,
            v=moments[1].handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )


_REFUSED = {
    "gradient_accumulation_steps": "it would count calls as steps; take a larger batch "
    "(`train.classes_per_batch`), of which the losses also see more pairs",
    "loss_scale_factor": "the loss is not scaled, but the gradients would be divided",
    "global_clipnorm": "the criterion's weights have an optimizer of their own, and each would "
    "clip alone; `MetricLearner.clip_norm` is of all gradients together",
    "use_ema": "the averages would be put in place after the best weights were chosen",
}


def check(optimizer, weight_decay=0.0):
    """Refuses what an optimizer of Keras can be told and a `MetricLearner` does not follow.

    Args:
        optimizer: a `tf.keras.optimizers.Optimizer`.
        weight_decay: of the learner, float.

    Raises:
        ValueError: if there is such a setting; says what to do instead.
    """
    settings = optimizer.get_config()
    for name, why in _REFUSED.items():
        if settings.get(name):
            raise ValueError(
                f"Leave `{name}` of the optimizer out: {why}. Received: {name}={settings[name]}"
            )
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        raise ValueError(
            "Expected an optimizer that does not scale the loss; bfloat16 needs no scaling. "
            f"Received: {type(optimizer).__name__}"
        )
    if weight_decay and settings.get("weight_decay"):
        raise ValueError(
            "Weights would decay twice: set `weight_decay` of the learner (coupled, without batch "
            "normalization) or of the optimizer (decoupled), not both. "
            f"Received: {weight_decay=} and {settings['weight_decay']} of the optimizer"
        )


def linked_copy(optimizer, multiplier, decays=True):
    """Builds an optimizer of the same kind that learns `multiplier` times as fast.

    Multiplying gradients would change nothing under Adam, which divides their size out again.
    A copy of Keras's Adam is a `FusedAdam`: the same steps up to rounding.

    Args:
        optimizer: the `tf.keras.optimizers.Optimizer` to follow; its learning rate may be changed
            by schedules and callbacks at any time.
        multiplier: factor on the learning rate, float above 0.
        decays: whether the copy keeps the (decoupled) weight decay of the optimizer.
    """
    rate = LinkedLearningRate(optimizer, multiplier)
    config = optimizer.get_config() | {"learning_rate": rate, "name": f"linked_{optimizer.name}"}
    if config.get("weight_decay") and not decays:
        config["weight_decay"] = 0.0
    is_plain_adam = type(optimizer) is tf.keras.optimizers.Adam and not optimizer.amsgrad
    return (FusedAdam if is_plain_adam else type(optimizer)).from_config(config)


def forget(optimizer, fresh, is_forgotten):
    """Makes an optimizer forget what it knows of some rows of the one weight that it trains.

    What it keeps beside its moments, such as the number of steps by which Adam corrects its first
    ones, starts anew if no row is left that has been trained.

    Args:
        optimizer: built with one weight, [..., dim].
        fresh: one of its kind and for the same weight that has made no step.
        is_forgotten: rows to forget, bool, of the shape of the weight without its last axis.
    """
    is_new = bool(tf.reduce_all(is_forgotten))
    for variable, start in zip(optimizer.variables, fresh.variables, strict=True):
        value, start = tf.convert_to_tensor(variable), tf.convert_to_tensor(start)
        is_moment = value.shape.rank > 0 and value.shape[:-1] == is_forgotten.shape
        if is_moment:
            variable.assign(tf.where(is_forgotten[..., None], start, value))
        elif is_new:
            variable.assign(start)
