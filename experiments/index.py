"""Makes an approximate index of a gallery (faiss, usearch), and measures what it finds.

ccpdml index --gallery=photos.npz --output=photos_index --recall=0.98

The index is tuned on queries drawn of the gallery until it finds the wanted share of their ten
nearest images; the table shows the time and the exactness of each value that was tried.
photos_index/index.json has it too. What the index finds are rows of the gallery.
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("gallery", None, "A file of embed.py.", required=True)
flags.DEFINE_string("output", None, "Folder to make.", required=True)
flags.DEFINE_enum("kind", "faiss_hnsw", ["faiss_hnsw", "faiss_ivf_pq", "usearch"], "Which index.")
flags.DEFINE_float(
    "recall", 0.95, "Wanted share of the 10 nearest.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_integer("queries", 1000, "Queries to measure with.", lower_bound=1)
flags.DEFINE_integer(
    "code_bytes",
    None,
    "Of each vector in faiss_ivf_pq; a divisor of its numbers. Default: a quarter of them.",
    lower_bound=1,
)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    quiet.import_tensorflow()
    from ccpdml import serving  # after the flags: --help need not wait for TensorFlow

    try:
        report = serving.indices.build(
            serving.read_embeddings(FLAGS.gallery),
            FLAGS.output,
            FLAGS.kind,
            FLAGS.recall,
            FLAGS.queries,
            FLAGS.code_bytes,
        )
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print("\n".join(report.lines()))
    print(FLAGS.output)


if __name__ == "__main__":
    app.run(main)
