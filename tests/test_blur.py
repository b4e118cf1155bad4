import numpy as np

from facecraft.blur import blur_known


def test_what_is_not_known_does_not_count_and_how_much_is_known_is_told():
    values, weights = np.full((40, 40, 3), [0.2, 0.5, 0.8]), np.zeros((40, 40))
    weights[:20] = 1
    values[20:] = 7.0
    means, known = blur_known(values, weights, 3.0)
    assert np.allclose(means[:25], [0.2, 0.5, 0.8], atol=1e-5)
    assert np.allclose(known[[2, 19, 20]].mean(1), [1, 0.55, 0.45], atol=0.02) and known[39].max() < 1e-3
