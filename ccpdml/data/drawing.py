"""Characters drawn with typefaces, for the data sets that need no download."""

import unicodedata

import numpy as np
from PIL import Image, ImageFont

_DRAWING_SIZE = 48  # Font size, in pixels.


def font(file):
    """A typeface of a font file (of a collection, the first), at the size that `draw` needs."""
    return ImageFont.truetype(str(file), _DRAWING_SIZE)


def code_points(file):
    """Code points that a font file (of a collection, its first typeface) has glyphs for, a set."""
    from fontTools import ttLib  # It comes with matplotlib; `import ccpdml` need not wait for it.

    with ttLib.TTFont(file, fontNumber=0, lazy=True) as typeface:
        # Names of glyphs do not matter; reading them would take half the time.
        typeface.setGlyphOrder([str(glyph) for glyph in range(typeface["maxp"].numGlyphs)])
        return set(typeface.getBestCmap() or ())


def draw(character, typeface):
    """A character cut to its ink, Pillow image of mode 'L'; without ink all of it is 0."""
    mask = typeface.getmask(character, mode="L")
    drawing = Image.frombytes("L", mask.size, bytes(mask))
    return drawing.crop(drawing.getbbox())


def name(character):
    """Name of a class: its code point and Unicode's name."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'UNNAMED')}"


def place(drawing, image_size, seed):
    """A drawing at a common size under a small random affine map.

    Args:
        drawing: Pillow image of mode 'L'.
        image_size: side of the image in pixels.
        seed: int, or sequence of ints >= 0.

    Returns:
        uint8 [image_size, image_size], ink is 255.
    """
    rng = np.random.default_rng(seed)
    angle, shear = np.deg2rad(rng.uniform(-10, 10)), rng.uniform(-0.1, 0.1)
    scale = 0.7 * image_size / max(drawing.size) * rng.uniform(0.85, 1.15)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Twice as large first: halving afterwards smooths the edges.
    forward = 2 * scale * rotation @ np.array([[1.0, shear], [0.0, 1.0]])
    center = image_size + image_size / 16 * rng.uniform(-2, 2, size=2)
    # Pillow wants the map from the new image to the old one.
    backward = np.linalg.inv(forward)
    offset = np.array(drawing.size) / 2 - backward @ center
    coefficients = np.hstack([backward, offset[:, None]]).ravel().tolist()
    size = (2 * image_size, 2 * image_size)
    placed = drawing.transform(
        size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(placed.reduce(2))
