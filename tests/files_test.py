"""Nothing is replaced or removed without being asked."""

import pytest

from ccpdml import files


def test_what_is_there_is_named_and_kept(tmp_path):
    page, table = tmp_path / "page.html", tmp_path / "page.csv"
    files.refuse_existing(page, table)
    table.write_text("mine")
    (tmp_path / "page.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=r"page\.html, .*page\.csv: there already"):
        files.refuse_existing(page, tmp_path / "page.md", table)
    files.refuse_existing(page, table, overwrite=True)
    assert table.read_text() == "mine"


def test_a_file_is_written_beside_under_a_name_that_nobody_else_has(tmp_path):
    mine = tmp_path / "page.html.new"
    mine.write_text("mine")
    (tmp_path / f".page.html{files.UNFINISHED}").write_text("of a process that was killed")
    files.write_text(tmp_path / "page.html", "new")
    with pytest.raises(TypeError), files.replacing(tmp_path / "page.html") as file:
        file.write("half, and no bytes")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "page.html": "new",
        "page.html.new": "mine",
    }


def test_a_folder_is_filled_beside_those_of_others(tmp_path):
    mine = tmp_path / ".new" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with files.filling(tmp_path) as folder:
        (folder / "figure.png").write_text("figure")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new", "figure.png"]
    assert mine.read_text() == "mine"
