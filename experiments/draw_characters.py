"""Draws the characters of a script and writes them as files, in the layout of SOP.

ccpdml draw-characters --output=drawn
ccpdml run --gin_file=gin/sop_ms.gin --data_root=drawn \
    --gin_bindings='data.load.verify_counts = False'
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "Folder of data sets; Stanford_Online_Products/ is made in it.")
flags.DEFINE_string("script", "hangul", "Script to draw.")
flags.DEFINE_multi_string(
    "typefaces", [], "Folder of typefaces. Default: $CCPDML_TYPEFACES, or all."
)
flags.DEFINE_integer("num_classes", None, "Classes altogether. Default: all.")
flags.DEFINE_integer("first_class", 0, "Classes to leave out at the beginning.")
flags.DEFINE_integer("images_per_class", 14, "Images of each class.")
flags.DEFINE_integer("image_size", 32, "Side of the images in pixels.")
flags.DEFINE_enum("domain", "clean", ["clean", "noisy", "shifted"], "How they look.")
flags.DEFINE_integer("seed", 0, "Of all that is random.")
flags.mark_flag_as_required("output")

OPTIONS = (
    *("script", "typefaces", "num_classes", "first_class"),
    *("images_per_class", "image_size", "domain", "seed"),
)


def main(_):
    quiet.import_tensorflow()
    from ccpdml.data import characters, sop  # after the flags: --help need not wait

    try:
        source = characters.read(**{name: getattr(FLAGS, name) for name in OPTIONS})
        folder = sop.write(source, FLAGS.output)
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    counts = [len(part) for part in (source.development, source.test)]
    print(f"{folder}: {counts[0]} images to develop on, {counts[1]} to test on")


if __name__ == "__main__":
    app.run(main)
