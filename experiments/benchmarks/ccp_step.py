"""What CCP adds to a training step: prox term and proxies against the pairs of the batch alone.

python experiments/benchmarks/ccp_step.py

Both learners share one network of about 10 million weights, a batch of 32 images, weight decay
and clipping; CCP has 8 proxies for each of 100 classes and the prox term in force. They run in
turn, a few steps each; printed are the ratios of neighbouring runs.
"""

import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from ccpdml import losses, models, training
from ccpdml.models.encoder import freeze_batch_norm

FLAGS = flags.FLAGS
flags.DEFINE_integer("size", 96, "Height and width of the images.")
flags.DEFINE_integer("steps", 3, "Steps in a timed run.")
flags.DEFINE_integer("pairs", 15, "Timed pairs of runs.")

NUM_CLASSES = 100


def learner(criterion, prox_weight):
    """A compiled learner on a plain network of about 10 million weights."""
    shape = (FLAGS.size, FLAGS.size, 3)
    network = models.build_encoder(shape, lambda s: models.small_cnn(s, (64, 128, 320, 640, 1280)))
    freeze_batch_norm(network)
    model = training.MetricLearner(
        network, criterion, prox_weight, weight_decay=1e-4, clip_norm=10.0, clip_value=10.0
    )
    model.compile(tf.keras.optimizers.Adam(1e-5), steps_per_execution=FLAGS.steps)
    if prox_weight:
        model.add_prox()
        model.start_prox(model.encoder_weights, prox_weight)
    model.make_train_function()
    return model


def main(_):
    loss = losses.MultiSimilarityLoss
    plain = learner(losses.BatchPairs(loss()), 0.0)
    ccp = learner(losses.ChanceConstrainedLoss(loss(), NUM_CLASSES, 8), 2e-4)
    images = np.random.default_rng(0).normal(size=(32, FLAGS.size, FLAGS.size, 3))
    labels = np.repeat(np.arange(8), 4).astype(np.int32)
    batch = (images.astype(np.float32), labels)
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def seconds(model):
        started = time.perf_counter()
        model.train_function(batches)
        return (time.perf_counter() - started) / FLAGS.steps

    for model in (plain, ccp):  # tracing and warm-up
        seconds(model)
    times = [(seconds(plain), seconds(ccp)) for _ in range(FLAGS.pairs)]
    weights = sum(int(tf.size(v)) for v in ccp.encoder_weights)
    ratios = sorted(with_ccp / without for without, with_ccp in times)
    print(f"encoder weights       {weights:,}")
    print(f"plain step, median    {1e3 * statistics.median(t[0] for t in times):.1f} ms")
    print(f"CCP step, median      {1e3 * statistics.median(t[1] for t in times):.1f} ms")
    print(f"ratio, median         {statistics.median(ratios):.3f}")
    print(f"ratio, middle half    {ratios[len(ratios) // 4]:.3f} - {ratios[-len(ratios) // 4]:.3f}")


if __name__ == "__main__":
    app.run(main)
