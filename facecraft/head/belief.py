"""What is believed of a face's expression before it is seen."""

from collections.abc import Sequence

import numpy as np

EXPRESSION_SIGMA = 0.35
ASIDE, ASIDE_SIGMA = ("jawLeft", "jawRight", "mouthLeft", "mouthRight"), 0.17  # mouths lean aside seldom
APART_SIGMA = 0.15  # between the two sides of a face
ONE_SIDED = ("eyeBlink", "eyeLook", *ASIDE)  # lids wink, eyes look aside, the others are no pairs


def expression_belief(names: Sequence[str]) -> np.ndarray:
    """Precision [52, 52] of the channels: each is near 0, and near that of the other side of the face."""
    sigmas = np.array([ASIDE_SIGMA if name in ASIDE else EXPRESSION_SIGMA for name in names])
    precision = np.diag(1 / sigmas**2)
    for left, name in enumerate(names):
        if name.endswith("Left") and not name.startswith(ONE_SIDED):
            right = names.index(name[:-4] + "Right")
            apart = np.zeros(len(names))
            apart[[left, right]] = 1, -1
            precision += np.outer(apart, apart) / APART_SIGMA**2
    return precision
