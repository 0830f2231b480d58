"""Feeds every loss random and adversarial batches and counts what is not finite.

python experiments/benchmarks/fuzz_losses.py --batches=10000

A batch is one class, or each image a class of its own, or mixed; its points are random, equal,
zero, opposite, or of lengths from 1e-20 to 1e20; float16 or float32; labels up to 2^31 - 1. Value
and gradients, of embeddings and of weights, have to be finite.
"""

import argparse
import collections
import re
import time

import numpy as np
import tensorflow as tf

from ccpdml import losses

BATCH, DIM, NUM_CLASSES = 16, 8, 6
HIGHEST_LABEL = 2**31 - 1


def criteria():
    """Every loss as a criterion, by name."""
    pair_losses = {
        "C2": losses.ContrastiveLoss(),
        "C1": losses.CosineContrastiveLoss(),
        "MS": losses.MultiSimilarityLoss(14.35, 75.83, 0.66),
        "Triplet": losses.TripletLoss(),
        "Margin": losses.MarginLoss(nu=0.1, learn_beta=True),
        "NormalizedSoftmax": losses.NormalizedSoftmaxLoss(0.01),
        "C2, hard negatives": losses.MinedLoss(
            losses.ContrastiveLoss(), losses.HardNegativeMiner()
        ),
        "Margin, distance-weighted": losses.MinedLoss(
            losses.MarginLoss(), losses.DistanceWeightedMiner(DIM)
        ),
    }
    found = {}
    for name, loss in pair_losses.items():
        found[f"{name} in batch"] = losses.BatchPairs(loss)
        found[f"{name} CCP"] = losses.ChanceConstrainedLoss(loss, NUM_CLASSES, 3)
        found[f"{name} CCP, synthetic classes"] = losses.ChanceConstrainedLoss(
            loss, NUM_CLASSES, 3, extra_classes=losses.SyntheticClasses()
        )
        found[f"{name} XBM"] = losses.CrossBatchMemory(loss, 40, warmup_steps=0)
    return found | {
        "ClassMargin": losses.ClassMarginLoss(NUM_CLASSES, nu=0.1),
        "MDR": losses.DistanceRegularizedLoss(losses.ContrastiveLoss()),
        "ProxyAnchor": losses.ProxyAnchorLoss(NUM_CLASSES),
        "HPL-PA": losses.HierarchicalProxyAnchorLoss(NUM_CLASSES, refresh_steps=5),
        "ProxyNCA": losses.ProxyNCALoss(NUM_CLASSES, 0.01),
        "SoftTriple": losses.SoftTripleLoss(NUM_CLASSES, 3, la=100.0, gamma=0.01),
        "VirtualSoftmax": losses.VirtualSoftmaxLoss(NUM_CLASSES, 0.01),
        "ProxySynthesis": losses.ProxySynthesisLoss(NUM_CLASSES, 0.01),
    }


def points(rng):
    """Embeddings of one of nine kinds, float32 or float16 [BATCH, DIM]."""
    random = rng.normal(size=(BATCH, DIM))
    unit = random / np.linalg.norm(random, axis=1, keepdims=True)
    lengths = 10.0 ** rng.uniform(-20, 20, size=(BATCH, 1))
    kinds = {
        "random": random,
        "unit": unit,
        "equal": np.broadcast_to(random[:1], random.shape),
        "zero": np.zeros_like(random),
        "some zero": random * (rng.random((BATCH, 1)) < 0.5),
        "pairs": np.repeat(random[::2], 2, axis=0),
        "opposite": np.concatenate([unit[::2], -unit[::2]]),
        "any length": unit * lengths,
        "one length": unit * lengths[0],
    }
    embeddings = kinds[rng.choice(list(kinds))]
    if rng.random() < 0.25:
        return np.clip(embeddings, -65504, 65504).astype("float16")
    return embeddings.astype("float32")


def labels(rng):
    """Classes of the batch, int32 [BATCH]."""
    kinds = [
        rng.integers(0, NUM_CLASSES, BATCH),
        np.full(BATCH, rng.integers(NUM_CLASSES)),
        np.arange(BATCH) % NUM_CLASSES,
        np.arange(BATCH),
        HIGHEST_LABEL - rng.integers(0, 4, BATCH),
        rng.choice([0, HIGHEST_LABEL], BATCH),
    ]
    return kinds[rng.integers(len(kinds))].astype("int32")


def fuzz(criterion, num_batches, seed):
    """Returns how many batches gave a value or a gradient that is not finite."""
    criterion.build((None, DIM))

    @tf.function(reduce_retracing=True)
    def is_finite(embeddings, classes):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = criterion(embeddings, classes)
        variables = [embeddings, *criterion.trainable_variables]
        found = [value, *tape.gradient(value, variables, unconnected_gradients="zero")]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(x)) for x in found])

    rng = np.random.default_rng(seed)
    return sum(not is_finite(points(rng), labels(rng)) for _ in range(num_batches))


def main():
    """Runs all losses and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10000)
    parser.add_argument("--only", default="", help="pattern of the names to run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)  # The batches are tiny.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    totals = collections.Counter()
    for name, criterion in criteria().items():
        if re.search(arguments.only, name):
            start = time.perf_counter()
            totals[name] = fuzz(criterion, arguments.batches, arguments.seed)
            seconds = time.perf_counter() - start
            print(
                f"{name:<32}{arguments.batches:>8} batches {totals[name]:>6} not finite "
                f"{seconds:>6.0f} s",
                flush=True,
            )
    print(f"{sum(totals.values())} not finite in {len(totals)} losses")


if __name__ == "__main__":
    main()
