"""Checks a data set: layout, counts, and every image opened.

ccpdml check-data --dataset=sop --root=/data
"""

import sys

from absl import app, flags
from tqdm import tqdm

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Which data set, e.g. 'sop'.", required=True)
flags.DEFINE_string("root", None, "Data sets. Default: $CCPDML_DATA, else ~/.ccpdml/data.")
flags.DEFINE_bool("verify_counts", True, "Compare with the published counts.")
flags.DEFINE_bool("closed_set", False, "The classes to test on are those that are trained on.")
flags.DEFINE_bool("download", False, "Fetch the data set first, if its publisher serves it freely.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    quiet.import_tensorflow()
    from ccpdml.data import benchmark, download, loading  # --help need not wait for TensorFlow

    about = loading.BENCHMARKS.get(FLAGS.dataset)
    if about is not None:
        tqdm.write(about.about())
    try:
        if FLAGS.download:
            with tqdm(unit="B", unit_scale=True, desc="download") as bar:
                download.benchmark(
                    FLAGS.dataset, about, benchmark.data_root(FLAGS.root), bar.update
                )
        report = _examine(loading.read(FLAGS.dataset, FLAGS.root))
    except (OSError, ValueError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    tqdm.write("\n".join(report.lines()))
    sys.exit(1 if report.problems else 0)


def _examine(source):
    from ccpdml.data import doctor

    num_files = sum(len(part) for part in source.parts.values())
    with tqdm(total=num_files, unit="image", desc="open") as bar:
        return doctor.examine(source, FLAGS.verify_counts, bar.update, FLAGS.closed_set)


if __name__ == "__main__":
    app.run(main)
