"""What a reader hands over: the classes of a data set before folds are cut."""

import dataclasses

from ccpdml.data import image_set


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set as published.

    Attributes:
        development: classes to train and validate on.
        test: other classes, to report on; the queries when there is a gallery.
        gallery: what the queries are searched in, with the class names of `test`; or None.
    """

    development: image_set.ImageSet
    test: image_set.ImageSet
    gallery: image_set.ImageSet | None = None
