"""Pictures in galleries."""

import numpy as np
from PIL import Image

from ccpdml.reports import sheet


def test_files_are_drawn_upright_and_on_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by 90 degrees.
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (20, 10), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    paths = [str(tmp_path / "turned.jpg"), str(tmp_path / "clear.png")]
    assert sheet.picture(paths, 0).size == (10, 20)
    assert (np.asarray(sheet.picture(paths, 1)) == 255).all()


def test_a_picture_above_the_limit_of_pillow_does_not_end_a_run(tmp_path, monkeypatch):
    Image.new("RGB", (20, 10)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert sheet.picture([tmp_path / "large.png"], 0).size == (1, 1)
