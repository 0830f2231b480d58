"""Thresholds: how near two images must be for one class, found on classes not trained on."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ccpdml import files, metrics
from ccpdml.metrics import class_rates, pairs, verification
from ccpdml.reports import threshold_figure
from ccpdml.serving.embeddings import Embeddings
from ccpdml.serving.image_encoder import ImageEncoder, load_encoder

FILE_NAME = "thresholds.json"
BEST_F1 = "best_f1"


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and what it does.

    Attributes:
        name: what was wanted: "false_match_rate=0.01", "precision=0.95" or "best_f1".
        distance: two images are a match if their embeddings are at most so far apart, float in the
            embeddings' unit.
        rates: `metrics.class_rates.Rate` by name, false_match_rate, false_non_match_rate, precision
            and f1: measured on the pairs of the calibration, with the interval for other classes.
    """

    name: str
    distance: float
    rates: dict[str, class_rates.Rate]

    @property
    def similarity(self) -> float:
        """`1 - distance² / 2`, the cosine for embeddings of length 1."""
        return 1.0 - self.distance**2 / 2.0


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Thresholds of one encoder.

    Attributes:
        points: the operating points in the order they were asked for; the first is the one that is
            used where none is named.
        encoder: its "fingerprint", and more that is known of it, such as "path"; dict.
        num_images, num_classes: of the calibration, int.
        num_new_classes: that the intervals are for, int.
        confidence: of the intervals, float.
    """

    points: tuple[OperatingPoint, ...]
    encoder: dict[str, Any]
    num_images: int
    num_classes: int
    num_new_classes: int
    confidence: float

    @property
    def threshold(self) -> float:
        """The distance of the first point."""
        return self.points[0].distance

    @property
    def interval(self) -> tuple[float, float]:
        """Interval, for other classes, of the rate that the first point was found for."""
        name = self.points[0].name.partition("=")[0]
        rate = self.points[0].rates["f1" if name == BEST_F1 else name]
        return rate.low, rate.high

    def at(self, name: str) -> "Thresholds":
        """The same with one point only.

        Raises:
            ValueError: if no point has that name.
        """
        chosen = tuple(point for point in self.points if point.name == name)
        if not chosen:
            names = ", ".join(point.name for point in self.points)
            raise ValueError(f"There are thresholds for {names}. Received: {name}")
        return dataclasses.replace(self, points=chosen)

    def refuse_other(self, encoder: dict[str, Any]) -> None:
        """Refuses an encoder that they are not of, given as `info["encoder"]` of embeddings.

        Raises:
            ValueError: naming both.
        """
        if encoder["fingerprint"] != self.encoder["fingerprint"]:
            raise ValueError(
                "Thresholds are of one encoder: calibrate again with the one in use. Received: "
                f"thresholds of {_name(self.encoder)}, embeddings of {_name(encoder)}"
            )

    def save(self, path: str | Path) -> None:
        """Writes them as JSON; `read_thresholds` reads it."""
        files.write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    def table(self) -> Iterator[str]:
        """Lines of text for people."""
        percent = f"{100 * self.confidence:g} %"
        yield (
            f"{self.num_images} images of {self.num_classes} classes; in brackets the {percent} "
            f"interval for {self.num_new_classes} other classes"
        )
        heads = "".join(f"{name:<24}" for name in _HEADS)
        yield f"{'wanted':<24}{'distance':>9}  {heads}".rstrip()
        for point in self.points:
            rates = "".join(f"{_spelled(point.rates[name]):<24}" for name in class_rates.NAMES)
            yield f"{point.name:<24}{point.distance:>9.4f}  {rates}".rstrip()


_HEADS = ("FMR (%)", "FNMR (%)", "precision (%)", "F1 (%)")


def _spelled(rate):
    value, low, high = (f"{100 * x:.3g}" for x in (rate.value, rate.low, rate.high))
    return f"{value} [{low}, {high}]"


@overload
def calibrate(
    encoder: ImageEncoder,
    images: Sequence[object],
    labels: npt.ArrayLike,
    /,
    *,
    false_match_rate: float | Sequence[float] = ...,
    precision: float | Sequence[float] = ...,
    best_f1: bool = ...,
    num_new_classes: int | None = ...,
    confidence: float = ...,
) -> Thresholds: ...


@overload
def calibrate(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    /,
    *,
    false_match_rate: float | Sequence[float] = ...,
    precision: float | Sequence[float] = ...,
    best_f1: bool = ...,
    num_new_classes: int | None = ...,
    confidence: float = ...,
) -> Thresholds: ...


@overload
def calibrate(
    embeddings: Embeddings,
    /,
    *,
    false_match_rate: float | Sequence[float] = ...,
    precision: float | Sequence[float] = ...,
    best_f1: bool = ...,
    num_new_classes: int | None = ...,
    confidence: float = ...,
) -> Thresholds: ...


def calibrate(
    *given: ImageEncoder | Embeddings | Sequence[object] | npt.ArrayLike,
    false_match_rate: float | Sequence[float] = 0.01,
    precision: float | Sequence[float] = (),
    best_f1: bool = True,
    num_new_classes: int | None = None,
    confidence: float = 0.95,
) -> Thresholds:
    """Finds thresholds on images of classes that the encoder was not trained on.

    All pairs of the images are looked at, in bounded memory. For a false-match rate it is the
    largest threshold at which at most that share of the pairs of different classes are matches; for
    a precision the largest at which at least that share of the matches are pairs of one class; for
    F1 the one at which it is highest. The interval of a rate says where it will lie, at this
    threshold, on other classes of the kind: how it is made is told in `metrics.class_rates`.

    Args:
        given: `Embeddings` with the class of each image; or embeddings, float [n, dim], and their
            labels, [n]; or an `ImageEncoder`, images of any kind that its `embed` takes, and
            labels. Of embeddings in an array it is not known which encoder made them, so that the
            thresholds serve as numbers only.
        false_match_rate: wanted, above 0 and below 1, or several; empty for none.
        precision: wanted, above 0 and at most 1, or several. They are of all pairs, and fall with
            the number of classes.
        best_f1: whether to find the threshold of the best F1, last.
        num_new_classes: that the intervals are for, int from 2; None takes as many as there are.
        confidence: of the intervals, above 0 and below 1.

    Returns:
        `Thresholds`; its `threshold` is the first one that was wanted.

    Raises:
        UnreadableImageError, OSError: as of `ImageEncoder.embed`.
        ValueError: if nothing is wanted, classes are not known or too few, or pairs are too few.
    """
    embeddings = _embedded(*given)
    curve = verification.of_classes(pairs.by_class(embeddings.embeddings, embeddings.classes))
    false_match_rates, precisions = _several(false_match_rate), _several(precision)
    if not len(false_match_rates) + len(precisions) + best_f1:
        raise ValueError(
            "Expected a false-match rate, a precision or the best F1 to find a threshold for. "
            f"Received: {false_match_rate=}, {precision=}, {best_f1=}"
        )
    wanted = {f"false_match_rate={r:g}": curve.at_false_match_rate(r) for r in false_match_rates}
    wanted |= {f"precision={share:g}": curve.at_precision(share) for share in precisions}
    wanted |= {BEST_F1: curve.at_best_f1()} if best_f1 else {}
    distances = {name: float(curve.thresholds[place]) for name, place in wanted.items()}
    return _thresholds(embeddings, distances, num_new_classes, confidence)


def _embedded(first, *others):
    """The images that `calibrate` is given, as `Embeddings` with all classes known."""
    if isinstance(first, ImageEncoder):
        images, labels = others
        rows, info = first.embed(images), {"encoder": first.info}
    elif isinstance(first, Embeddings):
        rows, labels, info = first.embeddings, first.classes, first.info
    else:
        (labels,) = others
        rows, info = np.asarray(first), {"encoder": {"fingerprint": "embeddings of an array"}}
    names = np.asarray(labels).reshape(-1).astype(str)
    nameless = int((names == "").sum())
    if nameless:
        raise ValueError(
            "To calibrate, the class of every image must be known (the folder it is in, or a "
            f"column `class`). Received: {nameless} of {len(names)} images without"
        )
    return Embeddings(rows, np.arange(len(rows)).astype(str), names, info)


def _several(wanted):
    return np.asarray(wanted, float).reshape(-1).tolist()


def _thresholds(embeddings, distances, num_new_classes, confidence):
    """The operating points of distances by name."""
    classes = pairs.by_class(embeddings.embeddings, embeddings.classes)
    num_new = len(classes.sizes) if num_new_classes is None else num_new_classes
    counts = class_rates.counts(classes, list(distances.values()))
    points = tuple(
        OperatingPoint(name, distance, class_rates.rates(each, num_new, confidence))
        for (name, distance), each in zip(distances.items(), counts, strict=True)
    )
    encoder = embeddings.info["encoder"]
    about = {name: encoder[name] for name in ("fingerprint", "path") if name in encoder}
    return Thresholds(points, about, len(embeddings), len(classes.sizes), num_new, confidence)


def measure(embeddings: Embeddings, thresholds: Thresholds) -> dict[str, dict[str, float]]:
    """Measures what thresholds do on other images, all pairs of them.

    Args:
        embeddings: with the class of each image.
        thresholds: of the same encoder.

    Returns:
        By the name of the point: false_match_rate, false_non_match_rate, precision, f1.

    Raises:
        ValueError: if they are of another encoder, or there are no pairs.
    """
    thresholds.refuse_other(embeddings.info["encoder"])
    classes = pairs.by_class(embeddings.embeddings, embeddings.classes)
    counts = class_rates.counts(classes, [point.distance for point in thresholds.points])
    return {
        point.name: {name: rate.value for name, rate in class_rates.rates(each).items()}
        for point, each in zip(thresholds.points, counts, strict=True)
    }


def test_embeddings(run_dir: str | Path) -> Embeddings:
    """The embedded test images of a finished run, whose classes it was not trained on.

    Args:
        run_dir: its directory. Where its data set has a gallery, those images are among them.

    Raises:
        FileNotFoundError: if the run is not finished.
        ValueError: if its encoder cannot be read, or takes no images.
    """
    encoder = load_encoder(run_dir)
    path = Path(run_dir).expanduser() / "test_embeddings.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the directory of a finished run. Received: {run_dir}, where there is no "
            f"{path.name}"
        )
    with np.load(path, allow_pickle=False) as stored:
        sides = [side for side in ("query", "gallery") if side in stored]
        rows = np.concatenate([stored[side] for side in sides])
        labels = np.concatenate([stored[f"{side}_labels"] for side in sides])
    if labels.dtype == bool:
        raise ValueError(
            f"{path}: expected one class of each image; thresholds are between images of one class "
            f"and of different ones. Received: several labels of each, {labels.shape}"
        )
    paths = np.array([f"{path}#{number}" for number in range(len(rows))])
    return Embeddings(rows, paths, labels.reshape(-1).astype(str), {"encoder": encoder.info})


def read_thresholds(path: str | Path) -> Thresholds:
    """Reads thresholds of `Thresholds.save`.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it holds none; says how they are made.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file of `ccpdml calibrate`. Received: {path}")
    try:
        return _parsed(json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected thresholds, as `ccpdml calibrate` writes them. "
            f"Received: {type(error).__name__}: {error}"
        ) from error


def threshold_of(text: str) -> float | Thresholds:
    """Reads a threshold given as a word.

    Args:
        text: a distance ("0.7"), a file of thresholds ("thresholds.json", its first point), or one
            of its points ("thresholds.json@precision=0.95").

    Raises:
        FileNotFoundError, ValueError: as of `read_thresholds` and `Thresholds.at`.
    """
    try:
        return float(text)
    except ValueError:
        path, _, name = text.partition("@")
    return read_thresholds(path).at(name) if name else read_thresholds(path)


def distance_of(threshold: "float | Thresholds", encoder: dict[str, Any]) -> float:
    """The distance of a threshold, for embeddings of an encoder.

    Args:
        threshold: a distance, or thresholds, of which the first counts.
        encoder: `info["encoder"]` of the embeddings.

    Raises:
        ValueError: for thresholds of another encoder, and what is no distance.
    """
    if isinstance(threshold, Thresholds):
        threshold.refuse_other(encoder)
        return threshold.threshold
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"`threshold` must be a distance of at least 0. Received: {threshold=}")
    return float(threshold)


def draw(embeddings: Embeddings, thresholds: Thresholds, path: str | Path) -> metrics.OpenSet:
    """Draws the errors over thresholds and the open-set ROC of the images of a calibration.

    Args:
        embeddings: that the thresholds were found on.
        thresholds: of them.
        path: image file to write.

    Returns:
        The open-set ROC.
    """
    curve = metrics.curve(embeddings.embeddings, embeddings.classes)
    opened = metrics.open_set(embeddings.embeddings, embeddings.classes)
    marks = [(point.name, point.distance) for point in thresholds.points]
    threshold_figure.draw(curve, opened, marks, path)
    return opened


def _parsed(content):
    points = tuple(
        OperatingPoint(
            name=str(point["name"]),
            distance=_distance(point["distance"]),
            rates={
                name: class_rates.Rate(**{key: float(x) for key, x in rate.items()})
                for name, rate in point["rates"].items()
            },
        )
        for point in content["points"]
    )
    if not points or not isinstance(content["encoder"]["fingerprint"], str):
        raise ValueError("no points, or no encoder")
    counts = {name: int(content[name]) for name in ("num_images", "num_classes", "num_new_classes")}
    return Thresholds(points, content["encoder"], confidence=float(content["confidence"]), **counts)


def _distance(value):
    if isinstance(value, bool) or not (np.isfinite(value) and value >= 0):
        raise ValueError(f"a distance of {value!r}")
    return float(value)


def _name(encoder):
    place = f" ({encoder['path']})" if "path" in encoder else ""
    return f"{encoder['fingerprint']}{place}"
