"""Every method there is, trained for 20 steps; alone, or as one of the workers of `TF_CONFIG`.

Every criterion, pair loss and miner is among them, but each pair loss in one criterion only; with
ALL_METHODS=1 in the environment in every one. Some at a time train one encoder on the sum of their
losses: a learner of its own takes much longer to trace than to train.
"""

import importlib.util
import os
import sys

import numpy as np
import tensorflow as tf

from ccpdml import compat, losses, training
from ccpdml.cluster import strategies
from ccpdml.losses import (
    BatchPairs,
    ChanceConstrainedLoss,
    ClassMarginLoss,
    CrossBatchMemory,
    DistanceRegularizedLoss,
    state,
)
from tests.training import tiny

NUM_STEPS = 20
NUM_TOGETHER = 8
NUM_CLASSES = tiny.NUM_CLASSES

PAIR_LOSSES = {
    "c1": losses.CosineContrastiveLoss,
    "c2": losses.ContrastiveLoss,
    "triplet": losses.TripletLoss,
    "ms": losses.MultiSimilarityLoss,
    "margin": lambda: losses.MarginLoss(nu=0.01, learn_beta=True),
    "softmax": losses.NormalizedSoftmaxLoss,
    "threshold": lambda: losses.ThresholdConsistentLoss(losses.MultiSimilarityLoss()),
    "hard": lambda: losses.MinedLoss(losses.TripletLoss(), losses.HardNegativeMiner()),
    "drawn": lambda: losses.MinedLoss(
        losses.MarginLoss(), losses.DistanceWeightedMiner(embedding_size=tiny.DIM)
    ),
}
# The memory fills from the third step on, and is full, and written over, from the sixth on.
MEMORY = {"memory_size": 48, "warmup_steps": 2}
OTHERS = {
    "proxy_anchor": lambda: losses.ProxyAnchorLoss(NUM_CLASSES),
    "hpl": lambda: losses.HierarchicalProxyAnchorLoss(NUM_CLASSES, num_groups=2, refresh_steps=7),
    "proxy_nca": lambda: losses.ProxyNCALoss(NUM_CLASSES),
    "soft_triple": lambda: losses.SoftTripleLoss(NUM_CLASSES, proxies_per_class=3),
    "virtual_softmax": lambda: losses.VirtualSoftmaxLoss(NUM_CLASSES),
    "proxy_synthesis": lambda: losses.ProxySynthesisLoss(NUM_CLASSES, shift=4),
    "ccp_virtual": lambda: ChanceConstrainedLoss(
        losses.ContrastiveLoss(), NUM_CLASSES, 2, extra_classes=losses.VirtualClasses(2)
    ),
    "ccp_synthesis": lambda: ChanceConstrainedLoss(
        losses.ContrastiveLoss(), NUM_CLASSES, 2, extra_classes=losses.SyntheticClasses()
    ),
    "class_margin": lambda: ClassMarginLoss(NUM_CLASSES, nu=0.01),
    "class_margin_drawn": lambda: ClassMarginLoss(
        NUM_CLASSES, miner=losses.DistanceWeightedMiner(embedding_size=tiny.DIM)
    ),
    "mdr_c1": lambda: DistanceRegularizedLoss(losses.CosineContrastiveLoss()),
    "mdr_c2": lambda: DistanceRegularizedLoss(losses.ContrastiveLoss()),
}


def criteria():
    """Functions that build a criterion each, by name."""
    found = dict(OTHERS)
    in_all = "ALL_METHODS" in os.environ
    for name, loss in PAIR_LOSSES.items():
        if in_all or name in ("c2", "drawn"):
            found[f"pairs_{name}"] = lambda loss=loss: BatchPairs(loss())
            found[f"xbm_{name}"] = lambda loss=loss: CrossBatchMemory(loss(), **MEMORY)
        if in_all or name != "drawn":
            found[f"ccp_{name}"] = lambda loss=loss: ChanceConstrainedLoss(loss(), NUM_CLASSES, 2)
    if importlib.util.find_spec("tensorflow_addons"):
        for name in losses.AddonsLoss.NAMES:
            found[f"addons_{name}"] = lambda name=name: losses.AddonsLoss(name)
        semihard = "triplet_semihard"
        found[f"ccp_addons_{semihard}"] = lambda: ChanceConstrainedLoss(
            losses.AddonsLoss(semihard), NUM_CLASSES, 2
        )
    return found


class Together(losses.Criterion):
    """The sum of criteria; it keeps the losses of every step."""

    def __init__(self, criteria, **kwargs):
        super().__init__(**kwargs)
        self.criteria = criteria

    def build(self, embeddings_shape, labels_shape=None):
        for criterion in self.criteria:
            criterion.build(embeddings_shape)
        self.kept = state.add(self, "kept", (NUM_STEPS, len(self.criteria)))
        self.num_steps = state.add(self, "num_steps", dtype="int64")
        super().build(embeddings_shape)

    def call(self, embeddings, labels):
        found = tf.stack([criterion(embeddings, labels) for criterion in self.criteria])
        step = state.read(self.num_steps)
        state.write_rows(self.kept, step[None], tf.stop_gradient(found)[None])
        self.num_steps.assign(step + 1)
        return tf.reduce_sum(found)


def train(names, strategy):
    """Trains methods together, with prox term, weight decay and clipping; no batch normalization.

    Returns:
        Dictionary of arrays by "method/name": the loss of every step, every weight at the end,
        memories included; those of the encoder by "encoder of method, method, .../name".
    """
    tf.keras.utils.set_random_seed(3)
    makers = criteria()
    with strategy.scope():
        built = [makers[name]() for name in names]
        built = [BatchPairs(c) if isinstance(c, losses.PairLoss) else c for c in built]
        learner = training.MetricLearner(
            _encoder(),
            Together(built),
            weight_decay=1e-3,
            clip_norm=1.0,
            clip_value=0.5,
            prox_weight=0.05,
            proxy_learning_rate_multiplier=10.0,
        )
        learner.compile(tf.keras.optimizers.Adam(1e-3), steps_per_execution=5)
        learner.add_prox()
        learner.start_prox(learner.encoder_weights, 0.05)
        retired = np.random.default_rng(7).normal(size=(NUM_CLASSES, 2, tiny.DIM))
        for criterion in built:
            criterion.retire(tf.constant(retired, tf.float32))
    learner.fit(_batches(strategy), steps_per_epoch=NUM_STEPS, verbose=0, shuffle=False)
    kept = _array(learner.criterion.kept)
    arrays = {f"{name}/losses": kept[:, i] for i, name in enumerate(names)}
    owners = [(f"encoder of {', '.join(names)}", learner.encoder), *zip(names, built, strict=True)]
    for name, owner in owners:
        arrays |= {f"{name}/weight_{i:02d}": _array(w) for i, w in enumerate(owner.weights)}
    return arrays


def _array(weight):
    return np.array(tf.convert_to_tensor(compat.raw(weight)))


def _encoder():
    # No bias at the end: distances do not see one, so that its gradient is rounding alone, of
    # which Adam makes whole steps. The other begins away from 0, to measure differences by.
    bias = tf.keras.initializers.RandomUniform(0.1, 0.5, seed=1)
    hidden = tf.keras.layers.Dense(8, "relu", bias_initializer=bias)
    out = tf.keras.layers.Dense(tiny.DIM, use_bias=False)
    return tf.keras.Sequential([tf.keras.Input((tiny.SIZE,)), hidden, out])


def _batches(strategy):
    """The batches of `tiny.dataset`; each worker gets its slice of them."""
    if not strategies.is_multi_worker(strategy):
        return tiny.dataset()

    def of_worker(context):
        size = 16 // context.num_input_pipelines
        start = size * context.input_pipeline_id
        return tiny.dataset().map(lambda *batch: [x[start : start + size] for x in batch])

    return strategy.distribute_datasets_from_function(of_worker)


def train_all(strategy):
    """Trains every method; returns the arrays of `train`."""
    names = list(criteria())
    groups = [names[i : i + NUM_TOGETHER] for i in range(0, len(names), NUM_TOGETHER)]
    return {name: array for group in groups for name, array in train(group, strategy).items()}


def difference(array, expected):
    """Largest difference of two arrays relative to the largest entry expected."""
    return np.abs(array - expected).max(initial=0.0) / max(np.abs(expected).max(initial=0.0), 1e-6)


if __name__ == "__main__":
    cluster = strategies.by_name("auto")
    results = train_all(cluster)
    if strategies.is_chief(cluster):
        np.savez(sys.argv[1], **results)
