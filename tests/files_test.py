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
