"""A page of pictures in rows and columns, drawn with Pillow."""

import functools
import math
import os
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image, ImageDraw, ImageFont

from ccpdml.reports import seen, style

FRAME, GAP, LINE, MARGIN = 4, 8, 18, 10


class Sheet:
    """A white page of framed pictures: above each row a title, under each picture a caption.

    Args:
        num_rows, num_columns: of pictures, ints.
        tile_size: width and height of a picture with its frame, in pixels.
        caption_lines: room under a picture, in lines of text.
        space_after_first: whether the first column stands apart from the others.
        header: a line above all, or "".
    """

    def __init__(
        self,
        num_rows,
        num_columns,
        tile_size,
        caption_lines=1,
        space_after_first=False,
        header="",
    ):
        self.tile_size, self.step = tile_size, tile_size + GAP
        self.row_step = LINE + tile_size + GAP + caption_lines * LINE
        self.space = GAP if space_after_first else 0
        self.width = 2 * MARGIN + num_columns * self.step + self.space
        self.top = MARGIN + (LINE if header else 0)
        height = self.top + num_rows * self.row_step + MARGIN
        self.page = Image.new("RGB", (self.width, height), "white")
        self.draw = ImageDraw.Draw(self.page)
        self._write(MARGIN, MARGIN - 4, header, self.width - 2 * MARGIN, style.GRAY)

    def title(self, row, text):
        """Writes a line above a row."""
        top = self.top + row * self.row_step
        self._write(MARGIN, top, text, self.width - 2 * MARGIN, "black")

    def place(self, row, column, picture, caption="", right=None):
        """Puts a picture.

        Args:
            row, column: where, ints.
            picture: a Pillow image.
            caption: text, of one or more lines.
            right: True frames it in green with a tick, False in red with a cross, None in gray.
        """
        left = MARGIN + column * self.step + (self.space if column else 0)
        top = self.top + LINE + row * self.row_step
        color = style.GRAY if right is None else style.GREEN if right else style.VERMILION
        box = (left, top, left + self.tile_size - 1, top + self.tile_size - 1)
        self.draw.rectangle(box, fill=color)
        picture = _fitted(picture, self.tile_size - 2 * FRAME)
        offsets = [(self.tile_size - side) // 2 for side in picture.size]
        self.page.paste(picture, (left + offsets[0], top + offsets[1]))
        if right is not None:
            self._mark(left, top, right, color)
        for number, line in enumerate(str(caption).splitlines()):
            below = top + self.tile_size + 1 + number * LINE
            self._write(left, below, line, self.tile_size, style.GRAY)

    def save(self, path):
        """Writes the page to an image file, whose folder is made."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.page.save(path)

    def _write(self, left, top, text, room, color):
        text = style.printable(" ".join(str(text).split()))
        font = _font(style.font_file(text), text.isascii())
        whole, kept = text, len(text)
        while self.draw.textlength(text, font=font) > room and kept > 2:
            kept -= 1
            text = style.shortened(whole, kept)
        self.draw.text((left, top), text, fill=color, font=font)

    def _mark(self, left, top, right, color):
        """A tick or a cross in the corner, for those who cannot tell the two frames apart."""
        self.draw.rectangle((left, top, left + 17, top + 17), fill=color)
        tick, cross = [(4, 9), (7, 13), (13, 4)], [(5, 5), (12, 12)]
        strokes = [tick] if right else [cross, [(5, 12), (12, 5)]]
        for stroke in strokes:
            points = [(left + x, top + y) for x, y in stroke]
            self.draw.line(points, fill="white", width=2)


@functools.cache
def _font(path, is_ascii):
    return ImageFont.load_default(12) if is_ascii else ImageFont.truetype(path, 12)


def picture(images, index):
    """An image of a set as a Pillow image in RGB, files as encoders see them.

    Args:
        images: uint8 [n, height, width] or [n, height, width, 1 or 3], or a sequence of paths; or
            features, float [n, dim], drawn as squares of gray from the least entry to the greatest.
        index: which, int.

    Raises:
        ValueError: if the images are none of these.
    """
    image = images[index]
    if isinstance(image, (str, os.PathLike)):
        try:
            return seen.read(image)
        except Image.DecompressionBombError as error:
            # Trained on all the same: TensorFlow has no such limit.
            logging.warning("%s is drawn as a gray square: %s", image, error)
            return Image.new("RGB", (1, 1), style.GRAY)
    image = np.asarray(image)
    if image.ndim == 1 and image.dtype.kind == "f":
        image = _squares(image)
    if image.dtype != np.uint8:
        raise ValueError(f"Images must be uint8 or paths. Received: dtype={image.dtype}")
    return Image.fromarray(image.squeeze(-1) if image.shape[2:] == (1,) else image).convert("RGB")


def _squares(vector):
    """A vector row by row in a square, uint8 [side, side]."""
    side = math.ceil(math.sqrt(len(vector)))
    low, high = vector.min(), vector.max()
    grays = np.zeros(side * side, np.uint8)
    grays[: len(vector)] = np.round(255 * (vector - low) / max(high - low, 1e-12))
    return grays.reshape(side, side)


def _fitted(image, size):
    """Scaled so that the longer side is `size`; small images keep their hard pixels."""
    scale = size / max(image.size)
    shape = [max(1, round(scale * side)) for side in image.size]
    return image.resize(shape, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)
