"""Trains and evaluates one run, as its gin files say.

ccpdml run --gin_file=gin/glyphs_ms.gin

Exit codes: 0 done; 1 a mistake or a failure, told in one line; 73 a run is active in the directory;
75 stopped by SIGTERM, after writing a checkpoint. Whatever stopped a run, the same command goes on
with it.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("gin_file", [], "Gin file of the run; later ones override. Repeatable.")
flags.DEFINE_multi_string("gin_bindings", [], "A binding, e.g. 'train.steps=100'. Repeatable.")
flags.DEFINE_string("data_root", None, "Data sets. Default: $CCPDML_DATA, else ~/.ccpdml/data.")
flags.DEFINE_string("run_dir", None, "Results. Default: runs/<name of the first gin file>.")
flags.DEFINE_bool("debug", False, "Replay the batch at which the run stopped, op by op.")
flags.DEFINE_bool("dry_run", False, "Check the configuration and print the plan, train nothing.")
flags.DEFINE_bool(
    "baseline_only",
    False,
    "Score the untrained features and train nothing: is a frozen network enough? The same command "
    "without it trains.",
)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    if not FLAGS.gin_file:
        raise app.UsageError("--gin_file is needed, e.g. --gin_file=gin/digits_ms.gin")
    if FLAGS.data_root:
        os.environ["CCPDML_DATA"] = FLAGS.data_root
    quiet.import_tensorflow()
    import tensorflow as tf

    from ccpdml import config, training  # after the flags: --help need not wait for TensorFlow
    from ccpdml.cluster import lock
    from ccpdml.training import terminal

    # TensorFlow would tell something about each checkpoint in the middle of the progress bar.
    logging.get_absl_logger().addFilter(lambda line: line.filename != "functional_saver.py")
    terminal.log_above_bars()
    run_dir = Path(FLAGS.run_dir or f"runs/{Path(FLAGS.gin_file[0]).stem}").expanduser()
    try:
        config.load(FLAGS.gin_file, FLAGS.gin_bindings)
        experiment = training.Experiment(run_dir)
        if FLAGS.dry_run:
            print("\n".join(experiment.plan()))
            return
        if FLAGS.debug:
            print(training.replay.run(experiment))
            return
        terminal.tell(terminal.opening(experiment))
        results = experiment.baseline() if FLAGS.baseline_only else experiment.run()
    except training.Preempted as stop:
        print(f"{stop} Give the same command again to go on.", file=sys.stderr)
        raise SystemExit(training.preemption.EXIT_CODE) from None
    except lock.RunActiveError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(lock.EXIT_CODE) from None
    except KeyboardInterrupt:
        raise SystemExit("Stopped. The same command goes on from the last checkpoint.") from None
    except (ValueError, OSError, ImportError, FloatingPointError, tf.errors.OpError) as error:
        logging.debug("", exc_info=True)  # --verbosity=1 shows where it comes from.
        raise SystemExit(f"ERROR: {terminal.told(error)}") from None
    terminal.tell(["", *terminal.closing(experiment, results)])


if __name__ == "__main__":
    app.run(main)
