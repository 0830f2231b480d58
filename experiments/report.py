"""Writes a page about finished runs, beside the paper's published numbers.

python experiments/report.py runs/glyphs_ms runs/glyphs_ms_base
"""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("path", "report.html", "The page; tables go beside it as .md and .csv.")
flags.DEFINE_bool("overwrite", False, "Replace these files if they are there.")


def main(argv):
    from ccpdml.reports import page  # after the flags: --help need not wait for TensorFlow

    try:
        paths = page.write_report(argv[1:], FLAGS.path, FLAGS.overwrite)
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print(*paths, sep=", ")


if __name__ == "__main__":
    app.run(main)
