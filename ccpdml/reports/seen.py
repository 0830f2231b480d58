"""Pictures of image files as encoders see them."""

from PIL import Image, ImageOps


def read(path, longest_side=None):
    """Reads an image file upright and on white, as training and embedding do.

    Args:
        path: of the file.
        longest_side: pixels that are wanted; a large JPEG is then read at a fraction of its size,
            of at least twice as many. None reads all of it.

    Returns:
        A Pillow image in RGB.

    Raises:
        OSError, SyntaxError, ValueError: if Pillow cannot read it.
        Image.DecompressionBombError: if it has more pixels than Pillow reads.
    """
    with Image.open(path) as picture:
        if longest_side is not None:
            picture.draft("RGB", (2 * longest_side, 2 * longest_side))
        picture = ImageOps.exif_transpose(picture)
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return picture.convert("RGB")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
