"""Characters drawn with the typefaces that ship with matplotlib: hundreds of classes, no download.

One class per character, one image per typeface: what a class shares is the idea of its shape, what
tells its images apart is the hand of the type designer. The characters are chosen by rule:

1. Letters, digits and symbols that Unicode does not decompose (no accents, ligatures
   or circled copies of another character) and that at least `MIN_TYPEFACES` typefaces contain.
2. Typefaces that draw a character with exactly the same pixels give one image; fewer than
   `MIN_IMAGES` different images, and the character is left out.
3. Of characters that look alike once brought to the same size (Latin A, Greek Alpha, Cyrillic A;
   o and O), the first by code point stays. Alike: their drawings in one of the upright typefaces
   correlate by `LOOK_ALIKE` or more.

The order of the characters is shuffled, so that scripts mix; the first half develops, the other
tests, as in the benchmarks.
"""

import pathlib
import unicodedata

import numpy as np
from PIL import Image, ImageFilter

from ccpdml.data import drawing, image_set, source

IMAGE_SIZE = 32
SEED = 0
UPRIGHT = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
TYPEFACES = UPRIGHT + (
    *("DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
CATEGORIES = ("Lu", "Ll", "Lt", "Lo", "Nd", "Sm", "Sc", "So")
MIN_TYPEFACES = 12
MIN_IMAGES = 8
LOOK_ALIKE = 0.85
_THUMBNAIL_SIZE = 16


def read(root: str | pathlib.Path | None = None) -> source.Source:
    """Draws the characters, white on black; uint8 [n, 32, 32, 1]. Takes a few seconds."""
    del root  # Nothing is read from the data root.
    drawings = _drop_look_alikes(_draw_all())
    characters = np.array(sorted(drawings))
    np.random.default_rng(SEED).shuffle(characters)
    images, labels, names = [], [], []
    for label, character in enumerate(characters):
        for typeface, picture in drawings[character].items():
            seed = [SEED, ord(character), TYPEFACES.index(typeface)]
            images.append(drawing.place(picture, IMAGE_SIZE, seed))
            labels.append(label)
            names.append(f"{drawing.name(character)} in {typeface}")
    everything = image_set.ImageSet(
        images=np.stack(images)[..., None],
        labels=np.array(labels),
        class_names=tuple(drawing.name(character) for character in characters),
        names=tuple(names),
    )
    half = len(characters) // 2
    return source.Source(
        development=everything.select_classes(range(half)),
        test=everything.select_classes(range(half, len(characters))),
    )


def _draw_all():
    """Character -> typeface -> drawing (a Pillow image), by rules 1 and 2."""
    import matplotlib  # Here, as `import ccpdml` need not wait for it.

    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = {typeface: str(folder / f"{typeface}.ttf") for typeface in TYPEFACES}
    characters = {typeface: _characters(file) for typeface, file in files.items()}
    fonts = {typeface: drawing.font(file) for typeface, file in files.items()}
    drawings = {}
    for character in sorted(set.union(*characters.values())):
        owners = [typeface for typeface in TYPEFACES if character in characters[typeface]]
        if len(owners) >= MIN_TYPEFACES:
            different = _different({o: drawing.draw(character, fonts[o]) for o in owners})
            if len(different) >= MIN_IMAGES:
                drawings[character] = different
    return drawings


def _characters(font_file):
    """The characters of rule 1 that a font file has glyphs for."""
    return {
        character
        for character in map(chr, drawing.code_points(font_file))
        if unicodedata.category(character) in CATEGORIES
        and not unicodedata.decomposition(character)
    }


def _different(drawings):
    """Keeps one typeface of each drawing."""
    first = {}
    for typeface, picture in drawings.items():
        first.setdefault((picture.size, picture.tobytes()), typeface)
    return {typeface: drawings[typeface] for typeface in first.values()}


def _drop_look_alikes(drawings):
    """Rule 3: characters in code point order, each kept unless it looks like one kept before."""
    characters = sorted(drawings)
    alike = np.zeros((len(characters), len(characters)), bool)
    for typeface in UPRIGHT:
        thumbnails = np.stack([_thumbnail(drawings[c].get(typeface)) for c in characters])
        alike |= thumbnails @ thumbnails.T >= LOOK_ALIKE
    kept = []
    for i in range(len(characters)):
        if not alike[i, kept].any():
            kept.append(i)
    return {characters[i]: drawings[characters[i]] for i in kept}


def _thumbnail(picture):
    """A drawing at a common size as a vector of mean 0 and norm 1; zeros where there is none."""
    canvas = Image.new("L", (_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
    if picture is None:
        return np.zeros(_THUMBNAIL_SIZE**2, np.float32)
    scale = _THUMBNAIL_SIZE / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    corner = [(_THUMBNAIL_SIZE - side) // 2 for side in size]
    canvas.paste(picture.resize(size, Image.Resampling.BOX), corner)
    # A blur of one pixel forgives outlines that differ by a rounding.
    vector = np.asarray(canvas.filter(ImageFilter.BoxBlur(1)), np.float32).ravel()
    vector -= vector.mean()
    return vector / np.linalg.norm(vector)
