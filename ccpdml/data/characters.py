"""Characters of a script in the typefaces of the machine: thousands of classes, no download.

One class per character, one image per typeface, as in `glyphs`, but with as many classes as a
script has: the 11,172 syllables of Hangul are as many as Stanford Online Products has to train on.
They can be drawn in three domains: clean, ink white on black; noisy, where every image has noise, a
contrast and a brightness of its own; and shifted, where half of the noisy ones are inverted too.
A network trained on one and used on another is what fine-tuning is about.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from ccpdml.bounds import Range, Whole, checked
from ccpdml.data import drawing, image_set, source

SCRIPTS = {
    "latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F)),
    "greek": ((0x370, 0x3FF),),
    "cyrillic": ((0x400, 0x52F),),
    "kana": ((0x3041, 0x3096), (0x30A1, 0x30FA)),
    "hangul": ((0xAC00, 0xD7A3),),
}
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
EXTENSIONS = (".ttf", ".otf", ".ttc")
DOMAINS = ("clean", "noisy", "shifted")
_CONTRAST = (0.5, 1.0)
_NOISE = (10.0, 30.0)  # Standard deviation, in gray levels of 255.


@checked
def read(
    root: str | Path | None = None,
    script: str | Sequence[Whole] = "hangul",
    typefaces: str | Sequence[str] = (),
    num_classes: Annotated[int, Range(4)] | None = None,
    first_class: Whole = 0,
    images_per_class: Annotated[int, Range(2)] = 14,
    image_size: Annotated[int, Range(8)] = 32,
    domain: str = "clean",
    seed: Whole = 0,
) -> source.Source:
    """Draws characters, one image per typeface; the first half of them develops, the other tests.

    The characters that enough typefaces can draw are shuffled by `seed`; of these
    `num_classes` from place `first_class` on are taken, so that two calls can have classes that
    differ. Of each the typefaces are drawn by lot until `images_per_class` of them differ in their
    pixels.

    Args:
        root: not used; nothing is read from the data root.
        script: a key of `SCRIPTS`, or (first, last) code point.
        typefaces: files and folders of typefaces (.ttf, .otf, .ttc), searched at any depth; one may
            be given alone. Empty takes $CCPDML_TYPEFACES (folders separated by ":"), or the
            typefaces of the machine, `FOLDERS`.
        num_classes: classes altogether, int at least 4; None takes all from `first_class` on.
        first_class: classes to leave out at the beginning, int at least 0.
        images_per_class: int at least 2.
        image_size: side of the images in pixels, int at least 8.
        domain: "clean", "noisy" or "shifted".
        seed: of the order of the characters, the typefaces, their places and the noise, int >= 0.

    Returns:
        `source.Source` of uint8 [n, image_size, image_size, 1].

    Raises:
        FileNotFoundError: if there are no typefaces.
        ValueError: if an argument is out of range, or too few typefaces have the characters.
    """
    del root
    if domain not in DOMAINS:
        raise ValueError(f"`domain` must be one of {DOMAINS}. Received: {domain=}")
    files = find_typefaces(typefaces)
    owners = _owners(files, _code_points(script), images_per_class)
    # By code point first: the order must not depend on the machine's typefaces more than it has to.
    order = np.random.default_rng([seed, 0]).permutation(sorted(owners)).tolist()
    taken = order[first_class:][:num_classes]
    wanted = 4 if num_classes is None else num_classes
    if len(taken) < wanted:
        raise ValueError(
            f"Expected {first_class + wanted} characters of {script!r} in at least "
            f"{images_per_class} of {len(files)} typefaces; lower `num_classes`, `first_class` or "
            f"`images_per_class`, or add typefaces. Received: {len(order)}"
        )
    drawn = _drawn({p: [files[i] for i in owners[p]] for p in taken}, images_per_class, seed)
    everything = _image_set(drawn, image_size, domain, seed)
    half = len(taken) // 2
    return source.Source(
        development=everything.select_classes(range(half)),
        test=everything.select_classes(range(half, len(taken))),
        layout=f"{domain} {script}",
    )


def find_typefaces(where: str | Sequence[str] = ()) -> list[str]:
    """Finds font files; arguments and errors as of `read`. Sorted by file name."""
    given = [where] if isinstance(where, (str, Path)) else list(where)
    given = given or os.environ.get("CCPDML_TYPEFACES", "").split(os.pathsep)
    places = [Path(p).expanduser() for p in (given if any(given) else FOLDERS)]
    found = {
        path
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.suffix.lower() in EXTENSIONS
    }
    if not found:
        raise FileNotFoundError(
            f"Expected typefaces ({', '.join(EXTENSIONS)}) in {', '.join(map(str, places))}. "
            "Received: none. Name a folder with `data.load.typefaces` or $CCPDML_TYPEFACES; on "
            "Debian the packages fonts-nanum, fonts-unfonts-core, fonts-baekmuk and fonts-noto-cjk "
            "have Hangul."
        )
    return [str(path) for path in sorted(found, key=lambda path: (path.name, str(path)))]


def _code_points(script):
    """The assigned letters of a script, set of int."""
    if isinstance(script, str):
        if script not in SCRIPTS:
            raise ValueError(
                f"`script` must be one of {sorted(SCRIPTS)} or (first, last) code point. "
                f"Received: {script=}"
            )
        ranges = SCRIPTS[script]
    else:
        ranges = (tuple(script),)
    points = {point for first, last in ranges for point in range(first, last + 1)}
    return {point for point in points if unicodedata.category(chr(point)).startswith("L")}


def _owners(files, points, fewest):
    """{code point: places in `files` of the typefaces that have it}, where those are enough."""
    owners = {point: [] for point in points}
    for index, file in enumerate(files):
        for point in points & drawing.code_points(file):
            owners[point].append(index)
    return {point: places for point, places in owners.items() if len(places) >= fewest}


def _drawn(files_of, count, seed):
    """{code point: {file: drawing}}, `count` of each, in the typefaces that `files_of` it names."""
    fonts = {file: drawing.font(file) for files in files_of.values() for file in files}
    drawn = {
        point: _draw(chr(point), files, fonts, count, seed) for point, files in files_of.items()
    }
    few = [point for point, pictures in drawn.items() if len(pictures) < count]
    if few:
        raise ValueError(
            f"Expected typefaces that draw each character in {count} ways. Received: fewer for "
            f"{len(few)} characters, e.g. {drawing.name(chr(few[0]))}. Lower `images_per_class` or "
            "add typefaces."
        )
    return drawn


def _draw(character, files, fonts, count, seed):
    """{file: drawing} of `count` typefaces by lot, no two alike; or of fewer, if there are not."""
    different, seen = {}, set()
    for index in np.random.default_rng([seed, 1, ord(character)]).permutation(len(files)):
        picture = drawing.draw(character, fonts[files[index]])
        key = (picture.size, picture.tobytes())
        if picture.getbbox() and key not in seen:
            seen.add(key)
            different[files[index]] = picture
        if len(different) == count:
            break
    return different


def _image_set(drawn, image_size, domain, seed):
    """The drawings as images of a domain: a class for each code point, in the order given."""
    names = [drawing.name(chr(point)) for point in drawn]
    pictures = [picture for of_point in drawn.values() for picture in of_point.values()]
    places = [[seed, point, j] for point, of_point in drawn.items() for j in range(len(of_point))]
    files = [[Path(file).stem for file in of_point] for of_point in drawn.values()]
    return image_set.ImageSet(
        images=_images(pictures, places, image_size, domain)[..., None],
        labels=np.repeat(np.arange(len(drawn)), [len(of_point) for of_point in drawn.values()]),
        class_names=tuple(names),
        names=tuple(
            f"{name} in {stem}" for name, own in zip(names, files, strict=True) for stem in own
        ),
    )


def _images(pictures, keys, size, domain):
    """Drawings as images of a domain, uint8 [n, size, size]."""
    images = [drawing.place(picture, size, k) for picture, k in zip(pictures, keys, strict=True)]
    if domain != "clean":
        inverted = 0.5 if domain == "shifted" else 0.0
        images = [_noisy(image, key, inverted) for image, key in zip(images, keys, strict=True)]
    return np.stack(images)


def _noisy(image, key, inverted):
    """An image with noise, contrast and brightness by lot, and by lot inverted."""
    rng = np.random.default_rng([*key, 1])
    contrast, noise = rng.uniform(*_CONTRAST), rng.uniform(*_NOISE)
    ink = 1.0 - image / 255.0 if rng.uniform() < inverted else image / 255.0
    pixels = 255.0 * (rng.uniform(0.0, 1.0 - contrast) + contrast * ink)
    return np.clip(np.round(pixels + rng.normal(0.0, noise, image.shape)), 0, 255).astype(np.uint8)
