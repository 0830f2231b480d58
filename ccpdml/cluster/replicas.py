"""Replicas acting as one: what `tf.distribute` splits, put together again."""

import functools

import tensorflow as tf


def gather(x: tf.Tensor) -> tf.Tensor:
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
    if x.dtype == tf.bool:  # Collectives of GPUs know no such type.
        return tf.cast(gather(tf.cast(x, tf.int32)), tf.bool)
    # Identity: multi-worker collectives refuse a raw batch element ("destinations are empty").
    gathered = context.all_gather(tf.identity(x), axis=0)
    return tf.ensure_shape(gathered, [None, *x.shape[1:]])  # Collectives forget all of the shape.


def sum_over(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sums a list of tensors over the replicas, inside `strategy.run`."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tensors:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def mean_over(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Averages a list of tensors over the replicas, inside `strategy.run`."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tensors:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(x) for x in tensors])


def assign(variables: list[tf.Variable], values: list[tf.Tensor]) -> None:
    """Gives variables values that are equal on every replica, inside `strategy.run`."""

    def update(strategy, *merged):
        for variable, value in zip(variables, merged, strict=True):
            strategy.extended.update(variable, _assign, args=(value,), group=False)

    if variables:
        tf.distribute.get_replica_context().merge_call(update, args=tuple(values))


def _assign(variable, value):
    return variable.assign(value)


def broadcast(x: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """Returns replica 0's `x` on every worker; called outside `strategy.run`.

    Args:
        x: float or int tensor, possibly different on each worker.
        strategy: the `tf.distribute.Strategy` whose workers are to agree.

    Returns:
        Tensor like `x`, equal on every worker.
    """
    x = tf.convert_to_tensor(x)
    count = strategy.num_replicas_in_sync
    return x if count == 1 else _reducer(strategy)(x, count)


def any_worker(flag: bool, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether `flag` is true on any worker; called outside `strategy.run`, by all workers."""
    if strategy.num_replicas_in_sync == 1:
        return bool(flag)
    return bool(_reducer(strategy)(tf.constant(int(flag)), 1) > 0)


def sum_over_workers(x: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """Sums the workers' `x`, which has the same shape on each; called outside `strategy.run`."""
    _, num_workers = worker(strategy)
    if num_workers == 1:
        return tf.convert_to_tensor(x)
    return _reducer(strategy)(tf.convert_to_tensor(x), strategy.num_replicas_in_sync // num_workers)


def worker(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Rank of this worker and number of workers: two ints."""
    own = strategy.experimental_local_results(strategy.run(_replica_id))
    return int(own[0]) // len(own), strategy.num_replicas_in_sync // len(own)


def _replica_id():
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)


@functools.lru_cache(maxsize=2)
def _reducer(strategy):
    """Function of (value, every int) -> sum of the values of each `every`-th replica."""

    @tf.function
    def reduce(value, every):
        def replica():
            context = tf.distribute.get_replica_context()
            is_counted = tf.equal(context.replica_id_in_sync_group % every, 0)
            own = tf.where(is_counted, value, tf.zeros_like(value))
            # Identity: as in `gather`.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return strategy.experimental_local_results(strategy.run(replica))[0]

    return reduce
