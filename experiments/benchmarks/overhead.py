"""What CCP adds to the time of a whole run, part by part.

python experiments/benchmarks/overhead.py

The same run on glyphs with the pairs of the batch alone and with CCP, in turn, several times, each
in a process of its own. Each callback is timed, and the calls of the inner loop (with prox term and
proxies); the rest of a run, such as its figures, is the same for both. The first call of the inner
loop compiles it and counts as any other. Other programs on the machine lengthen wall time, less so
the time of the processor.
"""

import multiprocessing
import statistics
import tempfile
import time

import tensorflow as tf
from absl import app, flags

from ccpdml import config, training

FLAGS = flags.FLAGS
flags.DEFINE_string("ccp", "gin/glyphs_ms.gin", "Run file with CCP.")
flags.DEFINE_string("base", "gin/glyphs_ms_base.gin", "Run file without.")
flags.DEFINE_integer("steps", 5000, "Steps of a run.")
flags.DEFINE_integer("pairs", 5, "Pairs of runs.")

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Times:
    """Seconds by part, of every clock."""

    def __init__(self):
        self.calls = {}

    def begin(self):
        self.started = [clock() for clock in CLOCKS.values()]

    def end(self, part):
        now = [clock() for clock in CLOCKS.values()]
        passed = [end - start for end, start in zip(now, self.started, strict=True)]
        self.calls.setdefault(part, []).append(passed)

    def of_callback(self, callback, method):
        """Has the calls of a callback's method timed under the callback's name."""
        inner, part = getattr(callback, method), type(callback).__name__

        def timed(*args, **kwargs):
            self.begin()
            inner(*args, **kwargs)
            self.end(part)

        setattr(callback, method, timed)

    def seconds(self):
        """Tuple (wall, processor) by part; of the inner loop, median call times calls."""
        found = {
            part: [sum(each) for each in zip(*c, strict=True)] for part, c in self.calls.items()
        }
        loops = self.calls["inner loop"]
        found["inner loop"] = [
            statistics.median(each) * len(loops) for each in zip(*loops, strict=True)
        ]
        return found | {"all": [sum(each) for each in zip(*found.values(), strict=True)]}


class InnerLoopClock(tf.keras.callbacks.Callback):
    """Times the calls of the inner loop."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def on_train_batch_begin(self, batch, logs=None):
        self.times.begin()

    def on_train_batch_end(self, batch, logs=None):
        self.times.end("inner loop")


def run(file, steps):
    """Trains by a run file; returns its seconds by part, and its problem instances."""
    config.load([file], [f"train.steps={steps}"])
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        experiment = training.Experiment(folder)
        learner, callbacks = experiment.build()
        for callback in callbacks:
            for method in ("on_train_begin", "on_epoch_end", "on_train_end"):
                times.of_callback(callback, method)
        learner.fit(
            experiment.batches(0).take_while(lambda *_: True),
            epochs=steps // experiment.steps_per_epoch,
            steps_per_epoch=experiment.steps_per_epoch,
            callbacks=[InnerLoopClock(times), *callbacks],
            shuffle=False,
            verbose=0,
        )
    outer = [c for c in callbacks if isinstance(c, training.ProxyReinitialization)]
    return times.seconds(), sum(callback.instance + 1 for callback in outer)


def run_alone(file):
    """`run` in a new process, as any run of a user has one."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(run, (file, FLAGS.steps))


def main(_):
    pairs = [(run_alone(FLAGS.base), run_alone(FLAGS.ccp)) for _ in range(FLAGS.pairs)]
    print(f"Seconds of {FLAGS.steps} steps, medians of {FLAGS.pairs} runs in turn.")
    print(f"{'part':<24}" + "".join(f"{f'{name}: plain':>18}{'CCP':>9}" for name in CLOCKS))
    for part in pairs[0][1][0]:
        line = f"{part:<24}"
        for clock in range(len(CLOCKS)):
            plain, ccp = (
                statistics.median(pair[i][0].get(part, [0.0] * 2)[clock] for pair in pairs)
                for i in (0, 1)
            )
            line += f"{plain:>18.2f}{ccp:>9.2f}"
        print(line)
    for clock, name in enumerate(CLOCKS):
        ratios = sorted(ccp[0]["all"][clock] / plain[0]["all"][clock] for plain, ccp in pairs)
        print(f"ratio, {name}: {statistics.median(ratios):.3f}, {ratios[0]:.3f} - {ratios[-1]:.3f}")
    print(f"problem instances: {[ccp[1] for _, ccp in pairs]}")


if __name__ == "__main__":
    app.run(main)
