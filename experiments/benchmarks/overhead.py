"""What CCP adds to the wall time of a whole run, part by part.

python experiments/benchmarks/overhead.py --steps=400

The same run on glyphs with CCP and with the pairs of the batch alone. Both are timed by part: the
inner loop (with the prox term and the proxies), evaluation, re-initialization, and what is kept.
"""

import collections
import statistics
import tempfile
import time

import gin
import tensorflow as tf
from absl import app, flags

from ccpdml import config, training

FLAGS = flags.FLAGS
flags.DEFINE_string("ccp", "gin/glyphs_ms.gin", "Run file with CCP.")
flags.DEFINE_string("base", "gin/glyphs_ms_base.gin", "Run file without.")
flags.DEFINE_integer("steps", 400, "Steps of a run.")
flags.DEFINE_integer("evaluate_every", 100, "Steps between two evaluations.")
flags.DEFINE_integer("pairs", 3, "Pairs of runs.")
flags.DEFINE_integer("patience", 1, "Evaluations without a gain that end a problem instance.")


def timed(owner, name, seconds, part):
    """Adds the time spent in a method of an object to `seconds[part]`."""
    method = getattr(owner, name)

    def wrapped(*args, **kwargs):
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            seconds[part] += time.perf_counter() - started

    setattr(owner, name, wrapped)


class Clock(tf.keras.callbacks.Callback):
    """Times the calls of the inner loop; the first one compiles it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(time.perf_counter() - self.started)


def run(file, bindings):
    """Seconds of a run by part, without those that compile the inner loop."""
    gin.clear_config()
    config.load([file], [f"train.steps={FLAGS.steps}", *bindings])
    seconds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        experiment = training.Experiment(folder)
        learner, callbacks = experiment.build()
        clock = Clock()
        for callback in callbacks:
            for name in ("on_train_begin", "on_epoch_end"):
                timed(callback, name, seconds, type(callback).__name__)
        experiment.build = lambda: (learner, [clock, *callbacks])
        experiment.run()
    parts = {type(callback).__name__: seconds[type(callback).__name__] for callback in callbacks}
    parts = {"inner loop": statistics.median(clock.calls) * len(clock.calls)} | parts
    return parts | {"all": sum(parts.values())}


def main(_):
    common = [f"train.evaluate_every={FLAGS.evaluate_every}"]
    outer = [*common, f"ProxyReinitialization.patience={FLAGS.patience}"]
    pairs = [(run(FLAGS.base, common), run(FLAGS.ccp, outer)) for _ in range(FLAGS.pairs)]
    print(f"{'part':<24}{'plain':>9}{'CCP':>9}  seconds, medians of {FLAGS.pairs} runs in turn")
    for part in pairs[0][1]:
        medians = [statistics.median(pair[i].get(part, 0.0) for pair in pairs) for i in (0, 1)]
        print(f"{part:<24}{medians[0]:>9.2f}{medians[1]:>9.2f}")
    ratios = sorted(ccp["all"] / base["all"] for base, ccp in pairs)
    print(
        f"ratio: median {statistics.median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}"
    )


if __name__ == "__main__":
    app.run(main)
