"""In-shop Clothes Retrieval (DeepFashion): items to train on, queries, and a gallery."""

import functools
import re

from ccpdml.data import benchmark, listing
from ccpdml.data.source import Source, files

LISTS = (
    "Eval/list_eval_partition.txt",
    "list_eval_partition.txt",
    "Anno/list_eval_partition.txt",
    "Eval/train_test_partition.txt",
    "train_test_partition.txt",
)
HEADER = ["image_name", "item_id", "evaluation_status"]
# Where the folder that the list calls `img/` may be.
IMAGE_FOLDERS = ("img", "Img/img", "img_highres", "Img/img_highres")


def _read(folder, list_file):
    file = folder / list_file
    rows = listing.rows(file, num_columns=3, num_header_lines=1)
    if rows[:1] != [HEADER]:
        raise ValueError(f"{file}, line 2: expected {HEADER}. Received: {rows[:1]}")
    parts = {"train": [], "query": [], "gallery": []}
    for path, item, status in rows[1:]:
        if status not in parts:
            raise ValueError(f"{file}: expected one of {list(parts)}. Received: {status!r}")
        parts[status].append((path, item))
    # Items to train on and items to test on are interleaved: each side is numbered by itself.
    test_items = {item for _, item in parts["query"] + parts["gallery"]}
    both = sorted(test_items & {item for _, item in parts["train"]})
    if both:
        raise ValueError(f"{file}: expected each item in train or in test. Received: {both[0]}")
    locate = _image_folder(folder)
    sets = {
        status: files(
            folder,
            [locate(path) for path, _ in listed],
            [item for _, item in listed],
            all_classes=None if status == "train" else sorted(test_items),
        )
        for status, listed in parts.items()
    }
    problems = tuple(_problems(file, rows[1:]))
    return Source(sets["train"], sets["query"], sets["gallery"], problems=problems)


def _image_folder(folder):
    """Function from a path as listed to where the image is, relative to `folder`."""
    for there in IMAGE_FOLDERS:
        if (folder / there).is_dir():
            return functools.partial(re.sub, "^img(?=/)", there)
    return str  # Every image will be reported as missing, at the place the list names.


def _problems(file, rows):
    announced = file.read_text(encoding="utf-8-sig").split(maxsplit=1)[0]
    if announced != str(len(rows)):
        yield f"count: {file} announces {announced} images and lists {len(rows)}"
    for path, item, _ in rows:
        named = re.search(r"id_\d+", path)
        if named and named.group() != item:
            yield f"mislabelled: {path} is listed as item {item}"


BENCHMARK = benchmark.Benchmark(
    name="inshop",
    title="In-shop Clothes Retrieval (DeepFashion)",
    folders=(
        "InShopClothesRetrievalBenchmark",
        "In-shop Clothes Retrieval Benchmark",
        "Inshop_Clothes",
        "DeepFashion_InShop",
        "inshop",
    ),
    layouts=tuple(
        benchmark.Layout(
            name=f"list in {list_file}",
            markers=(list_file,),
            read=functools.partial(_read, list_file=list_file),
        )
        for list_file in LISTS
    ),
    published={"development": (25_882, 3_997), "test": (14_218, 3_985), "gallery": (12_612, 3_985)},
    home="http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html",
    licence="non-commercial research only, by agreement with the authors; no redistribution",
    how_to_get="ask the authors (home page) for the password of the In-shop folder; it is never "
    "downloaded from here",
)
