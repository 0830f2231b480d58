"""Checks a data set: layout, counts, every image opened, near-duplicates if asked.

ccpdml check-data --dataset=sop --root=/data
ccpdml check-data --dataset=sop --root=/data --near_duplicates=sop_near.json
"""

import sys
from pathlib import Path

from absl import app, flags
from tqdm import tqdm

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Which data set, e.g. 'sop'.", required=True)
flags.DEFINE_string("root", None, "Data sets. Default: $CCPDML_DATA, else ~/.ccpdml/data.")
flags.DEFINE_bool("verify_counts", True, "Compare with the published counts.")
flags.DEFINE_bool("closed_set", False, "The classes to test on are those that are trained on.")
flags.DEFINE_string("label_column", None, "Of a table, the column that has the labels.")
flags.DEFINE_string("label_separator", None, "Of a table, the text between labels of one image.")
flags.DEFINE_string("category_column", None, "Of a table, the column that has the categories.")
flags.DEFINE_bool("download", False, "Fetch the data set first, if its publisher serves it freely.")
flags.DEFINE_string(
    "near_duplicates", None, "Looks for near-duplicates and writes them to this .json file."
)
flags.DEFINE_string(
    "embeddings", None, "Near-duplicates by these embeddings (embed.py) instead of hashes."
)
flags.DEFINE_float(
    "within",
    None,
    "Near-duplicates are at most this far apart: bits of a hash (default 4), or the Euclidean "
    "distance of embeddings.",
    lower_bound=0.0,
)

_OF_TABLES = ("label_column", "label_separator", "category_column")


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
        _refuse_flags()
        named = {name: FLAGS[name].value for name in _OF_TABLES if FLAGS[name].value is not None}
        source = loading.read(FLAGS.dataset, FLAGS.root, **named)
        report = _examine(source)
        if FLAGS.near_duplicates:
            _find_near_duplicates(source)
    except (OSError, ValueError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    tqdm.write("\n".join(report.lines()))
    sys.exit(1 if report.problems else 0)


def _num_images(source):
    return sum(len(part) for part in source.parts.values())


def _examine(source):
    from ccpdml.data import doctor

    with tqdm(total=_num_images(source), unit="image", desc="open") as bar:
        return doctor.examine(source, FLAGS.verify_counts, bar.update, FLAGS.closed_set)


def _refuse_flags():
    if FLAGS.near_duplicates is None and (FLAGS.embeddings or FLAGS.within is not None):
        raise ValueError("--embeddings and --within go with --near_duplicates=FILE.json.")
    if FLAGS.embeddings and FLAGS.within is None:
        raise ValueError("--embeddings needs --within: how far apart near-duplicates are at most.")
    if FLAGS.near_duplicates:
        from ccpdml import files

        files.refuse_existing(Path(FLAGS.near_duplicates))


def _find_near_duplicates(source):
    from ccpdml.data import near_duplicates  # with the libraries that only it needs

    if FLAGS.embeddings:
        found = near_duplicates.by_embedding(_embeddings(source), FLAGS.within, FLAGS.embeddings)
    else:
        within = near_duplicates.DIFFERENT_BITS if FLAGS.within is None else FLAGS.within
        with tqdm(total=_num_images(source), unit="image", desc="hash") as bar:
            found = near_duplicates.by_hash(source, within, bar.update)
    near_duplicates.write(found, source, FLAGS.near_duplicates)
    tqdm.write("\n".join(found.lines()))
    tqdm.write(f"They are listed in {FLAGS.near_duplicates}.")


def _embeddings(source):
    """Embeddings of all images of a data set, by part."""
    from ccpdml.serving import embeddings

    stored = embeddings.read_embeddings(FLAGS.embeddings)
    row_of = {path: row for row, path in enumerate(stored.files.tolist())}
    paths = {name: embeddings.locations(part.paths).tolist() for name, part in source.parts.items()}
    missing = [path for part in paths.values() for path in part if path not in row_of]
    if missing:
        raise ValueError(
            f"--embeddings={FLAGS.embeddings} must have every image of the data set; embed its "
            f"folder with `ccpdml embed`. Received: none of {len(missing)}, such as {missing[0]}"
        )
    return {
        name: stored.embeddings[[row_of[path] for path in part]] for name, part in paths.items()
    }


if __name__ == "__main__":
    app.run(main)
