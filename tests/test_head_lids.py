import numpy as np

from facecraft.camera import Camera, orbit_camera
from facecraft.head.lids import LID_RIMS, SHUT, lash_lines, skin_beside, unfolded_share
from facecraft.head.model import load_head


def test_lids_of_open_eyes_are_no_skin_of_shut_ones():
    head = load_head()
    camera = orbit_camera(Camera(512, 512, 1200, 1200, 256, 256), 0, 0, np.zeros(3), 0.9)
    opened, shut = (head.vertices(None, part)[0].double().numpy() for part in (None, head.expression_vector(SHUT)))
    shares = [unfolded_share(head, vertices, camera) for vertices in (opened, shut)]
    lids = (np.linalg.norm(opened - shut, axis=1) > 4e-3) & head.vertices_of(("face",)).numpy()
    assert lids.sum() > 30 and shares[0][lids].mean() < 0.15 and shares[1][lids].mean() > 2.5 * shares[0][lids].mean()
    assert (shares[0][opened[:, 1] < -0.03] == 1).all()


def test_lashes_darken_the_rims_of_eyes_and_nothing_else():
    head = load_head()
    landmarks = head.landmarks(head.vertices())[0].double().numpy()
    upper, lower = (landmarks[LID_RIMS[0][i][4]] for i in (0, 1))
    other, brow = landmarks[LID_RIMS[1][0][4]], landmarks[105]
    factors = lash_lines(head, np.stack([upper, lower, other, brow]), np.array([0.2, 1]))
    assert factors[0] < 0.6 and factors[0] < factors[1] < 0.95 and (factors[2:] > 0.999).all()


def test_skin_beside_the_eyes_lies_on_both_sides_alike_and_without_brows():
    head = load_head()
    right, left = skin_beside(head)
    assert right.sum() > 50 and abs(int(right.sum()) - int(left.sum())) < 0.1 * right.sum() and not (right & left).any()
    template = head.template.double().numpy()
    assert (template[right, 0] < 0).mean() > 0.95 and template[right, 1].max() < 0.01
