"""The exact nearest gallery rows of each query, in bounded memory; no TensorFlow, no classes.

The order is that of float64 distances, which are too slow to compute for every pair. A float32
matrix product is fast but rounds. So the product drops the rows that are surely too far, and only
the few that are left are measured:

            gallery, in tiles                    what a query keeps of its scores
        +------+------+------+--            high |  *     * *        kept: candidates
        |      |      |      |                   |      *   *
    q   |scores|  ->  |  ->  |               k-th|- - * - - - - - - - - -
    u   |      |      |      |                   |  *      *         kept: too close to call
    e   +------+------+------+--       cut-off   |=======================  k-th best - slack
    r   |      |      |      |                   |    . ..  .  .. .  dropped: k rows are nearer
    i   |      |      |      |                low|  . .. . ... .. ..
    e   +------+------+------+--
    s                                            candidates -> float64 distances -> k nearest

1. `space`: embeddings are moved and scaled so that a product gives *scores*, which fall as the
   distance grows. Two scores that differ by more than `slack`, the bound of their rounding errors,
   are in the order of the true distances.
2. `copies`: of equal gallery rows only as many are looked at as could be found.
3. `scan`: the gallery passes by in slabs of tiles. Each thread has a block of queries at a time: it
   multiplies it with one tile and looks at the scores while they are in its cache (`blas` keeps the
   linear algebra library from sharing out the product). `memory` chooses the sizes.
4. `candidates`: a query keeps the rows above its *cut-off*, its k-th best score so far less
   `slack`. The cut-off rises from tile to tile; what falls below is dropped for good. Where so many
   rows are nearly as far that the candidates pile up, they are measured early, and k stay.
5. At the end the candidates are measured as float64 differences, and sorted by distance, equal ones
   by index. So blocks, threads and the linear algebra library do not change a result.

A scan can also count, for each query, the gallery rows within a given distance, without keeping
them. Scores say it but for the rows within `slack` of that distance, so a count is a pair: at least
so many, at most so many. `metrics.scoring` takes from it the rank of a first match that is not
among the nearest, and searches deeper where the two disagree on a K of R@K.

`search.nearest` is the way in; `arrays` checks what is given to it.
"""

from ccpdml.metrics.knn.search import MAX_MEMORY_BYTES, nearest

__all__ = ["MAX_MEMORY_BYTES", "nearest"]
