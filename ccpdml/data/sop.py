"""Stanford Online Products: 22,634 products in 12 super-classes, split by its own two lists."""

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
    paths = [row[3] for row in rows]
    return files(folder, paths, classes), tuple(_mislabelled(classes, paths))


def _mislabelled(classes, paths):
    """A product lies in one super-class folder (`bicycle_final/`, ...): a check on its label."""
    home = {}
    for label, path in zip(classes, paths, strict=True):
        super_class = path.split("/")[0]
        if home.setdefault(label, super_class) != super_class:
            yield f"mislabelled: {path} is listed as product {label} of {home[label]}"


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
