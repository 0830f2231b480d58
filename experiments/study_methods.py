"""What `study.py` compares: methods with the settings that each may choose from, and regimes."""

import itertools
from typing import NamedTuple

PERIOD = "ProxyReinitialization.period"
# regime: gin files of data and network, before those of loss and method.
REGIMES = {
    "features": ["datasets/features", "regimes/features"],
    "fine_tune": ["datasets/characters", "regimes/fine_tune"],
    "scratch": ["datasets/characters", "regimes/scratch"],
    "glyphs": ["datasets/glyphs"],
}
# regime: learning rates to choose from; none leaves what its files say.
RATES = {
    "features": ("3e-4", "1e-3", "3e-3"),
    "fine_tune": ("1e-3", "3e-3"),
    "scratch": ("1e-3", "3e-3"),
    "glyphs": (),
}
# regime: file with proxies per class and pool.
POOLS = dict.fromkeys(REGIMES, "methods/ccp_glyphs") | {"fine_tune": "methods/ccp_characters"}
# An axis is a choice: {name: bindings}; the settings of a method are the product of its axes.
PAIR_WEIGHT = {
    f"pair_weight={weight}": [f"ChanceConstrainedLoss.pair_weight = {weight}"]
    for weight in ("0.1", "1.0")
}
PROXY_RATE = {
    "": [],
    "proxy_rate=10": [
        "train.learner = @MetricLearner",
        "MetricLearner.proxy_learning_rate_multiplier = 10.0",
    ],
}


class Method(NamedTuple):
    """A method of the study.

    Attributes:
        names: gin files, names below `gin/` without the suffix; "pool" is the regime's.
        axes: choices besides the learning rate.
        bindings: what all its runs bind.
        has_loss: whether it brings its own loss, so that it runs once for all pair losses.
        tuned_as: method whose choices it takes over; None makes its own.
    """

    names: list
    axes: tuple = ()
    bindings: tuple = ()
    has_loss: bool = False
    tuned_as: str | None = None

    def files(self, regime):
        """Its gin files in a regime."""
        return [POOLS[regime] if name == "pool" else name for name in self.names]

    def settings(self, rates):
        """{name: bindings} of every combination of choices; no rates leave what files say."""
        by_rate = {
            f"rate={rate}": [f"tf.keras.optimizers.Adam.learning_rate = {rate}"] for rate in rates
        }
        return {
            ",".join(filter(None, names)): [*self.bindings, *itertools.chain(*bindings)]
            for names, bindings in (
                zip(*choice, strict=True)
                for choice in itertools.product(
                    *(axis.items() for axis in (by_rate or {"": []}, *self.axes))
                )
            )
        }


def _variant(base, *bindings):
    """A method that differs from another in one thing, at the settings chosen for that one."""
    return METHODS[base]._replace(bindings=bindings, tuned_as=base)


def _with_loss(name, criterion):
    unit = f"{criterion}.normalization = @UnitNormalization()"  # As the losses' papers.
    return Method([f"losses/{name}"], (PROXY_RATE,), (unit,), has_loss=True)


METHODS = {
    "pairs": Method(["methods/pairs"]),
    "static": Method(["methods/proxies", "pool"], (PAIR_WEIGHT,)),
    "xbm": Method(["methods/xbm", "methods/xbm_characters"]),
    "ccp": Method(["methods/ccp", "pool", "methods/ccp_period"], (PAIR_WEIGHT,)),
    "proxy_anchor": _with_loss("proxy_anchor", "ProxyAnchorLoss"),
    "proxy_nca": _with_loss("proxy_nca", "ProxyNCALoss"),
    "soft_triple": _with_loss("soft_triple", "SoftTripleLoss"),
}
PROXIES = "ChanceConstrainedLoss.proxies_per_class"
PICK = "ProxyReinitialization.pick"
METHODS |= {
    "static_4": _variant("static", f"{PROXIES} = 4"),
    "static_1": _variant("static", f"{PROXIES} = 1"),
    "ccp_4": _variant("ccp", f"{PROXIES} = 4"),
    "ccp_1": _variant("ccp", f"{PROXIES} = 1"),
    "ccp_patience": _variant("ccp", f"{PERIOD} = None", "ProxyReinitialization.patience = 3"),
    "ccp_growing": METHODS["ccp"]._replace(
        names=["methods/ccp", "pool", "methods/ccp_growing"], tuned_as="ccp"
    ),
    "ccp_converged_first": _variant(
        "ccp", f"{PERIOD} = (None, 10)", "ProxyReinitialization.patience = 10"
    ),
    **{f"ccp_period_{n}": _variant("ccp", f"{PERIOD} = {n}") for n in (1, 3, 4, 6, 12)},
    "ccp_medoids": _variant("ccp", f"{PICK} = @coreset.k_medoids"),
    "ccp_random": _variant("ccp", f"{PICK} = @coreset.random_picks"),
    "ccp_no_prox": _variant("ccp", "MetricLearner.prox_weight = 0.0"),
    "ccp_fast_proxies": _variant("ccp", "MetricLearner.proxy_learning_rate_multiplier = 10.0"),
    "ccp_virtual": METHODS["ccp"]._replace(
        names=[*METHODS["ccp"].names, "methods/ccp_virtual"], tuned_as="ccp"
    ),
    "ccp_synthesis": METHODS["ccp"]._replace(
        names=[*METHODS["ccp"].names, "methods/ccp_synthesis"], tuned_as="ccp"
    ),
    "ccp_proxies_first": _variant("ccp", "Placing.proxies_only_steps = 50"),
}
# method: evaluations of each of its instances.
PERIODS = {"ccp": 2, **{f"ccp_period_{n}": n for n in (1, 3, 4, 6, 12)}}
