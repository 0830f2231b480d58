"""The description of a run in its `results.json`, under `ran`."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Statement:
    """Description of a run, by the objects that it trained.

    Attributes:
        criterion: class of the criterion, such as 'ChanceConstrainedLoss'.
        loss: class of its pair loss; None if it has none.
        dim: entries of an embedding, int; None where results of earlier versions do not tell.
        proxies_per_class: int; None without proxies, and where it is not told.
        is_static: whether it has proxies that are never placed anew.
        seed: of the run, int; None where it is not told.
        fold: the fold that validated, int; None where it is not told.
        backbone: name of the network below the embedding head; None where it is not told.
        weights: of the encoder, int; None where it is not told.
        trained_weights: those of them that were trained, int: of a backbone with low-rank
            additions, say, the additions and the head; None where it is not told.
        stack: the libraries that computed, such as 'TensorFlow 2.21.0, Keras 3.12.0'.
    """

    criterion: str
    loss: str | None = None
    dim: int | None = None
    proxies_per_class: int | None = None
    is_static: bool = False
    seed: int | None = None
    fold: int | None = None
    backbone: str | None = None
    weights: int | None = None
    trained_weights: int | None = None
    stack: str | None = None

    @property
    def trained_share(self) -> str | None:
        """Trained weights of all of the encoder, in words; None where it is not told."""
        if self.weights is None:
            return None
        return f"{self.trained_weights:,} of {self.weights:,}"

    @property
    def of_any_repeat(self) -> "Statement":
        """The same without what differs between the repeats of one experiment."""
        return dataclasses.replace(self, seed=None, fold=None, stack=None)


FIELDS = [field.name for field in dataclasses.fields(Statement)]


def of(results: dict[str, Any], bindings: dict[str, Any]) -> Statement:
    """Reads the description of a run.

    Args:
        results: dict of `results.json`.
        bindings: gin bindings of the run, str by name: what results of versions before 0.2, which
            state less, are completed from.
    """
    if "ran" in results:
        return Statement(**{name: results["ran"].get(name) for name in FIELDS})
    size = bindings.get("build_encoder.embedding_size", "")
    loss = results.get("loss")
    return Statement(
        criterion=results.get("method", "?"),
        loss=None if loss == "NoneType" else loss,
        dim=results.get("dim", int(size) if size.isdigit() else None),
        is_static=bindings.get("ProxyReinitialization.max_instances") == "1",
        seed=results.get("seed"),
        fold=results.get("split", {}).get("fold"),
    )
