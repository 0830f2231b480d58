"""Which devices a run uses."""

import tensorflow as tf

STRATEGIES = {
    "default": tf.distribute.get_strategy,
    "mirrored": tf.distribute.MirroredStrategy,
    "multi_worker": tf.distribute.MultiWorkerMirroredStrategy,
}


def by_name(name):
    """Builds the strategy called `name`: "default", "mirrored" or "multi_worker".

    Raises:
        ValueError: if there is no such strategy.
    """
    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {sorted(STRATEGIES)}. Received: {name=}")
    return STRATEGIES[name]()
