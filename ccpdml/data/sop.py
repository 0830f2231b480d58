"""Stanford Online Products: 22,634 products in 12 super-classes, split by its own two lists."""

from pathlib import Path

from PIL import Image

from ccpdml.data import benchmark, listing
from ccpdml.data.source import Source, files

HEADER = ["image_id", "class_id", "super_class_id", "path"]


def _read(folder):
    development, development_problems = _read_list(folder, "Ebay_train.txt")
    test, test_problems = _read_list(folder, "Ebay_test.txt")
    return Source(development, test, problems=development_problems + test_problems)


def _read_list(folder, name):
    """The image set of one list, and what is wrong with it."""
    file = folder / name
    header, *rows = listing.rows(file, num_columns=4) or [[]]
    if header != HEADER:
        raise ValueError(f"{file}: expected the header {HEADER}. Received: {header}")
    classes = [listing.integer(row[1], file, "a class id") for row in rows]
    super_classes = [listing.integer(row[2], file, "a super-class id") for row in rows]
    paths = [row[3] for row in rows]
    # `bicycle_final/...`: the lists only number the super-classes, the folders name them.
    homes = [path.split("/")[0].removesuffix("_final") for path in paths]
    images = files(folder, paths, classes, categories=dict(zip(classes, homes, strict=True)))
    return images, tuple(_mislabelled(classes, super_classes, homes, paths))


def _mislabelled(classes, super_classes, homes, paths):
    """A product lies in the one folder of its super-class: a check on its label."""
    of_class, of_super_class = {}, {}
    for label, super_class, home, path in zip(classes, super_classes, homes, paths, strict=True):
        first = of_class.setdefault(label, (super_class, home))
        if first != (super_class, home):
            yield (
                f"mislabelled: {path} is listed as product {label} of super-class {super_class}; "
                f"the first image of that product is in super-class {first[0]}, {first[1]}"
            )
        elif of_super_class.setdefault(super_class, home) != home:
            yield (
                f"mislabelled: {path} is listed in super-class {super_class}, that of "
                f"{of_super_class[super_class]}"
            )


BENCHMARK = benchmark.Benchmark(
    name="sop",
    title="Stanford Online Products",
    folders=("Stanford_Online_Products", "sop", "SOP"),
    layouts=(
        benchmark.Layout(
            name="Stanford_Online_Products",
            markers=("Ebay_train.txt", "Ebay_test.txt"),
            read=_read,
        ),
    ),
    published={"development": (59_551, 11_318), "test": (60_502, 11_316)},
    home="https://cvgl.stanford.edu/projects/lifted_struct/",
    licence="MIT, as its TensorFlow Datasets entry states",
    how_to_get="unpack Stanford_Online_Products.zip, linked (Google Drive) from "
    "https://github.com/rksltnl/Deep-Metric-Learning-CVPR16",
)


def write(source: Source, root: str | Path) -> Path:
    """Writes images in memory as files in this layout: a data set of real size to try things on.

    Args:
        source: classes to develop and to test on, uint8 [n, height, width, 1 or 3].
        root: folder of data sets; the files go to `Stanford_Online_Products/` in it.

    Returns:
        The folder written.

    Raises:
        FileExistsError: if it is there already.
    """
    folder = Path(root) / BENCHMARK.folders[0]
    home = folder / "drawn_final"  # The one super-class.
    home.mkdir(parents=True)
    first_class, image_id = 1, 0
    for name, part in (("Ebay_train.txt", source.development), ("Ebay_test.txt", source.test)):
        rows = [" ".join(HEADER)]
        for pixels, label in zip(part.images, part.labels.tolist(), strict=True):
            image_id += 1
            path = f"{home.name}/{first_class + label}_{image_id}.png"
            Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
                folder / path
            )
            rows.append(f"{image_id} {first_class + label} 1 {path}")
        (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
        first_class += part.num_classes
    return folder
