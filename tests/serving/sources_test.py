"""Which files are found, and of which class they are."""

import os

import pytest

from ccpdml import serving
from ccpdml.data import decoding


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "p/loose.png",
        "p/cat/1.JPG",
        "p/cat/tail/2.jpeg",
        "p/dog/3.gif",
        "p/dog/notes.txt",
        "p/.hidden/4.png",
        "p/__MACOSX/cat/._1.jpg",
        "p/train/ant/5.png",
        "p/test/bee/6.bmp",
        "p/val/cow/7.webp",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def pairs(sources):
    found = serving.find_images(sources)
    return list(zip(found.paths, found.classes, strict=True))


def test_a_folder_gives_its_images_with_the_folders_below_it_as_classes(root):
    assert pairs("p") == [
        ("p/cat/1.JPG", "cat"),
        ("p/cat/tail/2.jpeg", "cat"),
        ("p/dog/3.gif", "dog"),
        ("p/loose.png", ""),
        ("p/test/bee/6.bmp", "bee"),
        ("p/train/ant/5.png", "ant"),
        *([("p/val/cow/7.webp", "cow")] if decoding.decodes_webp() else []),
    ]


def test_classes_may_be_called_train_and_test(root):
    for name in ("vehicles/train/1.png", "vehicles/car/2.png"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    assert [name for _, name in pairs("vehicles")] == ["car", "train"]


def test_images_of_kinds_that_cannot_be_read_are_counted_and_named(root, caplog):
    (root / "p" / "cat" / "8.HEIC").touch()
    (root / "p" / "dog" / "9.tif").touch()
    assert pairs("p/dog") == [("p/dog/3.gif", "")]
    assert "left out of p/dog: 1 of kinds that cannot be read, e.g. p/dog/9.tif: " in caplog.text
    with pytest.raises(FileNotFoundError, match=r"Received: 1 of kinds .* p/cat/8.HEIC: .*convert"):
        serving.find_images("p/cat/8*C")


def test_a_pattern_gives_what_it_matches(root):
    assert pairs("p/*/*.[Jg]*") == [("p/cat/1.JPG", "cat"), ("p/dog/3.gif", "dog")]
    assert pairs("p/**/*.jpeg") == [("p/cat/tail/2.jpeg", "cat")]


def test_a_table_is_relative_to_its_file_and_a_file_stands_for_itself(root):
    (root / "p" / "list.csv").write_text("path,label\ncat/1.JPG,feline\ndog/3.gif,\n")
    assert pairs(["p/list.csv", "p/loose.png"]) == [
        ("p/cat/1.JPG", "feline"),
        ("p/dog/3.gif", ""),
        ("p/loose.png", ""),
    ]


def test_a_list_gives_a_path_on_each_line_relative_to_its_file(root):
    (root / "p" / "list.txt").write_text("\ufeffcat/1.JPG\n\n  dog/3.gif \r\n", encoding="utf-8")
    assert pairs("p/list.txt") == [("p/cat/1.JPG", ""), ("p/dog/3.gif", "")]


def test_links_to_folders_are_followed_once(root):
    (root / "links").mkdir()
    (root / "links" / "cat").symlink_to(root / "p" / "cat")
    (root / "links" / "zoo").symlink_to(root / "links")  # Leads back.
    assert pairs("links") == [("links/cat/1.JPG", "cat"), ("links/cat/tail/2.jpeg", "cat")]


def test_names_of_files_may_be_odd_but_must_be_utf8(root):
    names = ["a b.png", 'Müller, "O\'Brien".png', "[1].png", "new\nline.png"]
    (root / "odd").mkdir()
    for name in names:
        (root / "odd" / name).touch()
    assert [path for path, _ in pairs("odd")] == sorted(f"odd/{name}" for name in names)
    assert pairs("odd/[1].png") == [("odd/[1].png", "")]
    (root / os.fsdecode(b"odd/k\xfcche.png")).touch()
    with pytest.raises(
        ValueError, match=r"must be UTF-8; rename it. Received: 'odd/k\\udcfcche.png'"
    ):
        serving.find_images("odd")


def test_an_image_of_the_current_folder_is_there(root, monkeypatch):
    monkeypatch.chdir(root / "p")
    assert pairs("loose.png") == [("loose.png", "")]
    assert pairs("*.png") == [("loose.png", "")]


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ("nowhere", FileNotFoundError, "nowhere, which does not exist"),
        ("p/.hidden/*.tif", FileNotFoundError, "Received: none"),
        (["p/cat", "p/cat/1.JPG"], ValueError, "p/cat/1.JPG is listed more than once"),
        (["p/cat", "./p/../p/cat"], ValueError, "p/cat/1.JPG is listed more than once"),
        ("p/.hidden/empty", FileNotFoundError, "Received: none"),
        ("p/empty.txt", ValueError, "Received: none in p/empty.txt"),
        ("p/lost.txt", FileNotFoundError, "missing: p/gone.png"),
        ("p/latin.csv", ValueError, "latin.csv: expected a CSV file in UTF-8"),
        ("p/latin.txt", ValueError, "latin.txt: expected a path on each line"),
        ("p/lost.csv", FileNotFoundError, "missing: p/gone.png and 1 more"),
        ("p/odd.csv", ValueError, "expected the columns path"),
    ],
)
def test_what_is_not_there_is_named(root, sources, error, message):
    (root / "p" / "lost.csv").write_text("path\ngone.png\ncat/1.JPG\ncat/0.png\n")
    (root / "p" / "odd.csv").write_text("file\ncat/1.JPG\n")
    (root / "p" / "empty.txt").touch()
    (root / "p" / "lost.txt").write_text("gone.png\n")
    (root / "p" / "latin.txt").write_bytes(b"k\xfcche.png\n")
    (root / "p" / "latin.csv").write_bytes(b"path\nk\xfcche.png\n")
    (root / "p" / ".hidden" / "empty").mkdir()
    with pytest.raises(error, match=message):
        serving.find_images(sources)
