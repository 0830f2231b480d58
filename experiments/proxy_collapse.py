"""Ordinary proxies collapse, CCP's stay spread: handwritten digits embedded in the plane.

ccpdml proxy-collapse --out=runs/proxy_collapse

Trains the same network with the same loss twice, once with proxies that are only trained and once
with proxies re-initialized after each quarter of the steps. Draws both at these moments, the
re-initialized proxies as they start into the next instance, and prints how far the proxies of a
class lie apart and how far the class reaches from them, for CCP also just before. Reproduces the
toy experiment of the paper's supplement (Fig. 1).
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from ccpdml import data, losses, models, training
from ccpdml.data import pipelines, samplers, views
from ccpdml.ops import coreset
from ccpdml.reports import style

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/proxy_collapse", "Folder for the figure.")
flags.DEFINE_integer("steps", 1600, "Steps of each of the two runs; a multiple of 200.")
flags.DEFINE_integer("seed", 0, "Seed of weights, batches and pools.")

INSTANCES, PROXIES_PER_CLASS, POOL_SIZE = 4, 4, 12


class Steady(tf.keras.callbacks.Callback):
    """A score that never improves, so that every problem instance takes two epochs."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = 0.0


class Album(tf.keras.callbacks.Callback):
    """Keeps embeddings and proxies as they are at the end of every second epoch."""

    def __init__(self, digits):
        super().__init__()
        self.digits = digits
        self.pages = []

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2:
            learner = self.model
            embeddings = training.evaluation.embed(learner, self.digits.images)
            proxies = learner.criterion.normalization(learner.criterion.head.proxies)
            self.pages.append((embeddings, np.asarray(proxies)))


def backbone(shape):
    """Two blocks; without batch normalization, an image is embedded alike in training and after."""
    return models.small_cnn(shape, (32, 64), batch_norm=False)


def train(digits, reinitialize):
    """Trains once; returns the pages before and after each re-initialization."""
    tf.keras.utils.set_random_seed(FLAGS.seed)
    encoder = models.build_encoder(
        (8, 8, 1),
        lambda shape: models.small_cnn(shape, (32, 64), batch_norm=False),
        embedding_size=2,
    )
    criterion = losses.ChanceConstrainedLoss(
        losses.ContrastiveLoss(0.0, 0.5), digits.num_classes, PROXIES_PER_CLASS
    )
    learner = training.MetricLearner(encoder, criterion, preprocess=models.scale_to_unit_range)
    learner.compile(tf.keras.optimizers.Adam(1e-3), steps_per_execution=25)
    sampler = samplers.ClassBalancedSampler(digits.labels, 4, 8, FLAGS.seed)
    batches = pipelines.training_batches(digits, sampler, views.Plain(), FLAGS.seed)
    before, after = Album(digits), Album(digits)
    pool = training.PoolDraw(learner, digits, POOL_SIZE, seed=FLAGS.seed)
    outer = training.ProxyReinitialization(
        pool, monitor="score", patience=1, placing=training.Placing(random_start=True)
    )
    epochs = 2 * INSTANCES
    learner.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=FLAGS.steps // epochs,
        callbacks=[Steady(), before, *([outer] if reinitialize else []), after],
        verbose=0,
        shuffle=False,
    )
    return before.pages, after.pages


def spread(proxies):
    """Mean distance between two proxies of a class."""
    apart = np.linalg.norm(proxies[:, :, None] - proxies[:, None], axis=-1)
    return apart.sum() / (len(proxies) * PROXIES_PER_CLASS * (PROXIES_PER_CLASS - 1))


def radius(embeddings, labels, proxies):
    """Mean over classes of the distance from a class's proxies to its farthest image."""
    reach = [
        coreset.covering_radius(embeddings[None, labels == label], proxies[label][None])
        for label in range(len(proxies))
    ]
    return float(np.mean(reach))


def draw(axes, labels, page, title):
    """Draws one page: a dot for an image, a star for a proxy."""
    embeddings, proxies = page
    for label, color in zip(range(len(proxies)), style.COLORS, strict=False):
        axes.scatter(*embeddings[labels == label].T, s=4, color=color, alpha=0.5, linewidths=0)
    for label, color in zip(range(len(proxies)), style.COLORS, strict=False):
        axes.scatter(*proxies[label].T, s=110, marker="*", color=color, edgecolors="black")
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", title=title)


def main(_):
    digits = data.load("digits", num_folds=1).train
    ordinary, _ = train(digits, False)
    trained, picked = train(digits, True)
    methods = {"ordinary": ordinary, "CCP, trained": trained, "CCP, picked": picked}
    print(f"{'proxies':<15}{'instance':>9}{'spread':>9}{'covering radius':>17}")
    path = Path(FLAGS.out) / "proxy_collapse.png"
    with style.drawing(path, (12.5, 9.6), nrows=3, ncols=INSTANCES) as axes:
        for row, (name, pages) in zip(axes, methods.items(), strict=True):
            for number, page in enumerate(pages):
                apart, reach = spread(page[1]), radius(page[0], digits.labels, page[1])
                draw(row[number], digits.labels, page, f"{name}: radius {reach:.2f}")
                print(f"{name:<15}{number:>9}{apart:>9.4f}{reach:>17.4f}")
    print(path)


if __name__ == "__main__":
    app.run(main)
