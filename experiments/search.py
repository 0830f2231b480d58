"""Searches for images among embedded images: a table, a CSV file and a page with the pictures.

ccpdml search --gallery=photos.npz --queries=photo.jpg --encoder=runs/folder_ms

Queries that are embeddings themselves, --queries=photos.npz, need no --encoder. With --threshold,
a distance or a file of calibrate.py, each query gets the class of its nearest image as its answer,
or that it is unknown.
"""

from pathlib import Path

from absl import app, flags
from tqdm import tqdm

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("gallery", None, "What is searched: a file of embed.py.", required=True)
flags.DEFINE_multi_string(
    "queries",
    None,
    "Images, as for embed.py (repeatable), or a file of embed.py.",
    required=True,
)
flags.DEFINE_string("encoder", None, "What embedded the gallery: embeds queries that are images.")
flags.DEFINE_integer(
    "k",
    None,
    "Images to find for each query. Default: 10, or all of a smaller gallery.",
    lower_bound=1,
)
flags.DEFINE_string(
    "threshold",
    None,
    "Distance within which an image says what a query is, or a file of calibrate.py: its first "
    "threshold, or thresholds.json@precision=0.95.",
)
flags.DEFINE_string(
    "unknown", "unknown", "With --threshold: answer for a query without an image so near."
)
flags.DEFINE_string("output", "search.html", "The page; the table goes beside it as .csv.")
flags.DEFINE_bool("overwrite", False, "Replace the page and the table if they are there.")
flags.DEFINE_bool("skip_unreadable", False, "Leave out queries that are damaged, and list them.")
flags.DEFINE_integer("max_queries", 100, "Queries on the page at most.", lower_bound=1)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}. Put patterns in quotes.")
    quiet.import_tensorflow()
    from ccpdml import files, serving  # after the flags: --help need not wait for TensorFlow

    page = Path(FLAGS.output).expanduser()
    table = page.with_suffix(".csv")
    try:
        if page.suffix != ".html":
            raise ValueError(f"--output must end in .html. Received: {page}")
        if table.resolve() in (Path(given).expanduser().resolve() for given in FLAGS.queries):
            raise ValueError(f"{table} are the queries, and would be the table; see --output.")
        files.refuse_existing(page, table, overwrite=FLAGS.overwrite)
        gallery = serving.read_embeddings(FLAGS.gallery)
        encoder = FLAGS.encoder and serving.load_encoder(FLAGS.encoder)
        queries = serving.embed_queries(FLAGS.queries, gallery, encoder, FLAGS.skip_unreadable)
        threshold = None if FLAGS.threshold is None else serving.threshold_of(FLAGS.threshold)
        with tqdm(total=len(gallery), unit="image", desc="search", delay=1, leave=False) as bar:
            if threshold is None:
                results = serving.search(queries, gallery, FLAGS.k, bar.update)
            else:
                results = serving.match(
                    *(queries, gallery, threshold, FLAGS.k),
                    unknown=FLAGS.unknown,
                    on_progress=bar.update,
                )
        results.write_csv(table)
        results.write_page(page, FLAGS.max_queries)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print("\n".join(results.table()))
    print(f"{page}, {table}")


if __name__ == "__main__":
    app.run(main)
