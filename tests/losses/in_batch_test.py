"""InBatch: what stock Keras can minimize."""

import pytest

from ccpdml import losses


def test_a_loss_that_learns_is_refused():
    with pytest.raises(ValueError, match="BatchPairs.*MarginLoss.*beta"):
        losses.InBatch(losses.MarginLoss(learn_beta=True))
