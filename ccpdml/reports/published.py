"""The numbers of the paper's supplement, and which of them a run is to be compared with."""

import csv
import functools
from pathlib import Path

DIM = 128
LOSSES = {
    "CosineContrastiveLoss": "C1",
    "ContrastiveLoss": "C2",
    "MultiSimilarityLoss": "MS",
    "TripletLoss": "Triplet",
}
CRITERIA = {
    "BatchPairs": "{loss}",
    "ChanceConstrainedLoss": "{loss}-CCP-L",
    "CrossBatchMemory": "{loss}-XBM-L",
    "HierarchicalProxyAnchorLoss": "HPL-PA",
    "ProxyAnchorLoss": "ProxyAnchor",
    "ProxyNCALoss": "ProxyNCA++",
    "SoftTripleLoss": "SoftTriple",
}


@functools.cache
def rows():
    """All rows: dicts of str 'dataset', 'method', 'source', 'file', int 'dim', the metrics in %.

    'file' is the gin file of the row.
    """
    with (Path(__file__).parent / "published.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_typed(row) for row in csv.DictReader(file))


def find(dataset, method, dim=DIM):
    """The published row of a method, or None.

    Args:
        dataset: 'cub', 'cars', 'sop' or 'inshop'; others were not published.
        method: name as in the supplement, such as 'MS-CCP-L'; 'SoftTriple' finds the variant
            (-S or -L) that the supplement gives for the data set.
        dim: 128 (mean of four models) or 512 (their concatenation).
    """
    for row in rows():
        name = row["method"]
        same = name == method or name.rpartition("-")[0] == method == "SoftTriple"
        if same and (row["dataset"], row["dim"]) == (dataset, dim):
            return row
    return None


def dim(results, config):
    """Embedding size of a run: what it says, else what its configuration says, else None."""
    bound = config.get("build_encoder.embedding_size", "")
    return results.get("dim", int(bound) if bound.isdigit() else None)


def method_name(results, config):
    """The supplement's name of what a run trained.

    Args:
        results: dict of `results.json`; a 'method' that is no criterion of ours is kept.
        config: gin bindings of the run. With one problem instance for ever the proxies are
            static, which the supplement does not have.
    """
    method = results.get("method", "?")
    loss = LOSSES.get(results.get("loss"), results.get("loss"))
    name = CRITERIA.get(method, method).format(loss=loss)
    is_static = config.get("ProxyReinitialization.max_instances") == "1"
    return name.replace("-CCP-L", ", static proxies") if is_static else name


def _typed(row):
    numbers = {name: float(row[name]) for name in ("precision_at_1", "r_precision", "map_at_r")}
    return row | numbers | {"dim": int(row["dim"])}
