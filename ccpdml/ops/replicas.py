"""Replicas acting as one: what `tf.distribute` splits, put together again."""

import functools

import tensorflow as tf


def gather(x):
    """Concatenates every replica's `x` along axis 0, in rank order; differentiable.

    Called from inside `strategy.run`; where there is one replica, `x` itself. The gradient of a
    gathered tensor is the sum over replicas, so a loss that every replica computes on the gathered
    batch is to be divided by the number of replicas before it is differentiated.

    Args:
        x: tensor [batch, ...], the same shape on every replica.

    Returns:
        Tensor [num_replicas * batch, ...], equal on every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    # Identity: multi-worker collectives refuse a raw batch element ("destinations are empty").
    return context.all_gather(tf.identity(x), axis=0)


def sum_over(tensors):
    """Sums a list of tensors over the replicas, inside `strategy.run`."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tensors:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def mean_over(tensors):
    """Averages a list of tensors over the replicas, inside `strategy.run`."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tensors:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(x) for x in tensors])


def broadcast(x, strategy):
    """Returns replica 0's `x` on every worker; called outside `strategy.run`.

    Args:
        x: float or int tensor, possibly different on each worker.
        strategy: the `tf.distribute.Strategy` whose workers are to agree.

    Returns:
        Tensor like `x`, equal on every worker.
    """
    x = tf.convert_to_tensor(x)
    return x if strategy.num_replicas_in_sync == 1 else _reducer(strategy)(x, True)


def any_worker(flag, strategy):
    """Whether `flag` is true on any worker; called outside `strategy.run`, by all workers."""
    if strategy.num_replicas_in_sync == 1:
        return bool(flag)
    return bool(_reducer(strategy)(tf.constant(int(flag)), False) > 0)


@functools.lru_cache(maxsize=2)
def _reducer(strategy):
    """Function of (value, first_only) -> sum of the value over all replicas, or of the first."""

    @tf.function
    def reduce(value, first_only):
        def replica():
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            own = tf.where(is_first, value, tf.zeros_like(value)) if first_only else value
            # Identity: as in `gather`.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return strategy.experimental_local_results(strategy.run(replica))[0]

    return reduce
