"""What a run needs as the number of classes grows: memory on each device, and traffic of a step.

python experiments/benchmarks/scaling.py --weights=25000000 --dim=512 --proxies=4

All is computed, in MiB. Nothing is sharded but the images: every replica holds all weights and all
proxies, with their gradients, two moments, the best of the instance and the best of the run.

python experiments/benchmarks/scaling.py --measure=100000 --replicas=2 --dim=64 --proxies=1

trains a few steps with that many classes on logical CPU devices of this process, and prints what
its memory grew by, and the seconds of a step.
"""

import resource
import time

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("weights", 25_000_000, "Weights of the encoder.")
flags.DEFINE_integer("dim", 512, "Size of an embedding.")
flags.DEFINE_integer("proxies", 4, "Proxies of a class.")
flags.DEFINE_integer("pool", 7, "Images of a class in the pool.")
flags.DEFINE_integer("batch", 32, "Images of the global batch.")
flags.DEFINE_integer("measure", 0, "Classes to train with; 0 computes.")
flags.DEFINE_integer("replicas", 1, "Logical CPU devices of a measurement.")

FLOAT = 4
# Value, gradient, two moments, best of the instance, best of the run.
COPIES = 6


def needs(num_classes):
    """MiB by what needs them, for a number of classes."""
    proxies = num_classes * FLAGS.proxies * FLAGS.dim
    floats = {
        "encoder": (COPIES + 1) * FLAGS.weights,  # and the prox center
        "proxies": COPIES * proxies,
        "distances": 3 * FLAGS.batch * num_classes * FLAGS.proxies,  # and the two masks
        "pool (host)": num_classes * FLAGS.pool * FLAGS.dim,
        "traffic": 2 * (FLAGS.weights + proxies) + FLAGS.batch * FLAGS.dim,
    }
    return {name: FLOAT * number / 2**20 for name, number in floats.items()}


def measure():
    """Trains with `--measure` classes and no network; prints memory and time."""
    import tensorflow as tf

    from ccpdml import losses, training

    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * FLAGS.replicas
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(FLAGS.replicas)])
    before = _peak()
    with strategy.scope():
        identity = tf.keras.Sequential(
            [tf.keras.Input([FLAGS.dim]), tf.keras.layers.Dense(FLAGS.dim)]
        )
        criterion = losses.ChanceConstrainedLoss(
            losses.MultiSimilarityLoss(), FLAGS.measure, FLAGS.proxies
        )
        learner = training.MetricLearner(identity, criterion)
        learner.compile(tf.keras.optimizers.Adam(1e-3))
    outer = training.ProxyReinitialization(
        draw_pool=None, placing=training.Placing(random_start=True)
    )
    stopping = training.EarlyStopping()
    for callback in (outer, stopping):
        callback.set_model(learner)  # They keep copies.
    images = tf.random.stateless_normal([FLAGS.batch, FLAGS.dim], seed=(0, 0))
    labels = tf.range(FLAGS.batch) // 4
    learner.fit(tf.data.Dataset.from_tensors((images, labels)).repeat(2), verbose=0)
    started = time.perf_counter()
    learner.fit(tf.data.Dataset.from_tensors((images, labels)).repeat(10), verbose=0)
    seconds = (time.perf_counter() - started) / 10
    print(
        f"{FLAGS.measure:,} classes, {FLAGS.replicas} replica(s): memory grew by "
        f"{_peak() - before:,.0f} MiB, {needs(FLAGS.measure)['proxies']:,.0f} computed for the "
        f"proxies of a replica; {seconds:.3f} s a step"
    )


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main(_):
    if FLAGS.measure:
        measure()
        return
    columns = list(needs(1))
    print(f"{'classes':>12}" + "".join(f"{name:>14}" for name in columns) + "  MiB")
    for num_classes in (100, 10_000, 100_000, 1_000_000, 10_000_000):
        values = needs(num_classes)
        print(f"{num_classes:>12,}" + "".join(f"{values[name]:>14,.0f}" for name in columns))


if __name__ == "__main__":
    app.run(main)
