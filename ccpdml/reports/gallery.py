"""Pictures of what a search finds."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ccpdml.reports import style

FRAME, GAP, LINE, MARGIN = 4, 8, 18, 10


def retrieval_gallery(
    images,
    labels,
    neighbors,
    path,
    queries=None,
    gallery_images=None,
    gallery_labels=None,
    captions=None,
    class_names=None,
    tile_size=96,
):
    """Draws a row per query: the query, then its nearest images framed by right and wrong.

    Right is a green frame with a tick, wrong an orange-red one with a cross.

    Args:
        images: uint8 [n, height, width] or [n, height, width, 1 or 3], or a sequence of paths.
        labels: [n].
        neighbors: gallery index of each query's nearest images, int [num_queries, k].
        path: image file to write.
        queries: index into `images` of each query, int [num_queries]; None: the first ones.
        gallery_images, gallery_labels: what `neighbors` points into; None: `images`, `labels`.
        captions: text under each query, [num_queries]; None: as under the others.
        class_names: text under an image by its label, a sequence or dict; None: the label.
        tile_size: width and height of a picture in pixels, int.

    Raises:
        ValueError: if images are neither uint8 nor paths, or the lengths do not fit.
    """
    neighbors, labels = np.atleast_2d(neighbors), np.asarray(labels).reshape(-1)
    queries = np.arange(len(neighbors)) if queries is None else np.asarray(queries)
    if len(queries) != len(neighbors):
        raise ValueError(
            "`queries` and `neighbors` must have the same length. "
            f"Received: {len(queries)=}, {len(neighbors)=}"
        )
    if gallery_images is None:
        gallery_images, gallery_labels = images, labels
    gallery_labels = np.asarray(gallery_labels).reshape(-1)
    name = str if class_names is None else class_names.__getitem__
    sheet = _Sheet(*neighbors.shape, tile_size)
    for row, (query, found) in enumerate(zip(queries, neighbors, strict=True)):
        caption = name(labels[query]) if captions is None else captions[row]
        sheet.place(row, 0, _picture(images, query), caption)
        for rank, index in enumerate(found, start=1):
            right = gallery_labels[index] == labels[query]
            sheet.place(
                row, rank, _picture(gallery_images, index), name(gallery_labels[index]), right
            )
    sheet.save(path)


def best_and_worst(scores, count):
    """Queries to show: the `count` with the highest scores, then the `count` with the lowest.

    Args:
        scores: float [num_queries], such as 'mean_average_precision_at_r' of
            `metrics.per_query`; NaN (no match) is never chosen.
        count: int.

    Returns:
        Int [2 * count], or fewer if there are fewer queries.
    """
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(scores[scored], kind="stable")]
    count = min(count, len(order) // 2)
    return np.concatenate([order[::-1][:count], order[:count]])


class _Sheet:
    """A white page with a head line, and framed tiles with a caption in rows and columns."""

    def __init__(self, num_rows, num_neighbors, tile_size):
        self.tile_size, self.step = tile_size, tile_size + GAP
        width = 2 * MARGIN + (num_neighbors + 1) * self.step + GAP
        height = 2 * MARGIN + LINE + num_rows * (self.step + LINE)
        self.page = Image.new("RGB", (width, height), "white")
        self.draw = ImageDraw.Draw(self.page)
        self.font = ImageFont.load_default(12)
        self._write(0, MARGIN, "query")
        for rank in range(1, num_neighbors + 1):
            self._write(rank, MARGIN, "nearest" if rank == 1 else f"{rank}")

    def place(self, row, column, picture, caption, right=None):
        """Puts a picture; `right` None is a query's plain frame."""
        left, top = self._left(column), MARGIN + LINE + row * (self.step + LINE)
        color = style.GRAY if right is None else style.GREEN if right else style.VERMILION
        box = (left, top, left + self.tile_size - 1, top + self.tile_size - 1)
        self.draw.rectangle(box, fill=color)
        inner = self.tile_size - 2 * FRAME
        picture = _fitted(picture, inner)
        offset = (inner - picture.width) // 2 + FRAME, (inner - picture.height) // 2 + FRAME
        self.page.paste(picture, (left + offset[0], top + offset[1]))
        if right is not None:
            self._mark(left, top, right, color)
        self._write(column, top + self.tile_size + 1, caption)

    def save(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.page.save(path)

    def _left(self, column):
        return MARGIN + column * self.step + (GAP if column else 0)

    def _write(self, column, top, text):
        text = str(text)
        while self.draw.textlength(text, font=self.font) > self.tile_size and len(text) > 2:
            text = text[:-2] + "…"
        self.draw.text((self._left(column), top), text, fill=style.GRAY, font=self.font)

    def _mark(self, left, top, right, color):
        """A tick or a cross in the corner, for those who cannot tell the two frames apart."""
        self.draw.rectangle((left, top, left + 17, top + 17), fill=color)
        tick, cross = [(4, 9), (7, 13), (13, 4)], [(5, 5), (12, 12)]
        strokes = [tick] if right else [cross, [(5, 12), (12, 5)]]
        for stroke in strokes:
            points = [(left + x, top + y) for x, y in stroke]
            self.draw.line(points, fill="white", width=2)


def _picture(images, index):
    image = images[index]
    if isinstance(image, (str, os.PathLike)):
        return Image.open(image).convert("RGB")
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise ValueError(f"Images must be uint8 or paths. Received: dtype={image.dtype}")
    return Image.fromarray(image.squeeze(-1) if image.shape[2:] == (1,) else image).convert("RGB")


def _fitted(picture, size):
    """Scaled so that the longer side is `size`; small pictures keep their hard pixels."""
    scale = size / max(picture.size)
    shape = [max(1, round(scale * side)) for side in picture.size]
    return picture.resize(
        shape, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    )
