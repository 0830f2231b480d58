"""The numbers of the paper's supplement, and which of them a run is to be compared with."""

import csv
import functools
from pathlib import Path

from ccpdml.metrics import names

LOSSES = {
    "CosineContrastiveLoss": "C1",
    "ContrastiveLoss": "C2",
    "MultiSimilarityLoss": "MS",
    "ThresholdConsistentLoss": "TCM",
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


def find(dataset, method, dim):
    """The published row of a method, or None.

    Args:
        dataset: 'cub', 'cars', 'sop' or 'inshop'; others were not published.
        method: name as in the supplement, such as 'MS-CCP-L'; 'SoftTriple' finds the variant
            (-S or -L) that the supplement gives for the data set.
        dim: 128 (mean of four models) or 512 (their concatenation); None, where it is not known
            what was run, finds nothing.
    """
    for row in rows():
        name = row["method"]
        same = name == method or name.rpartition("-")[0] == method == "SoftTriple"
        if same and (row["dataset"], row["dim"]) == (dataset, dim):
            return row
    return None


def method_name(ran):
    """The supplement's name of what a run trained.

    Args:
        ran: `statements.Statement`; a criterion that is none of ours is kept. The supplement has no
            static proxies, which never move to another core-set.
    """
    name = CRITERIA.get(ran.criterion, ran.criterion).format(loss=LOSSES.get(ran.loss, ran.loss))
    return name.replace("-CCP-L", ", static proxies") if ran.is_static else name


def _typed(row):
    numbers = {name: float(row[name]) for name in names.LABELS}
    return row | numbers | {"dim": int(row["dim"])}
