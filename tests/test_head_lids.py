import numpy as np

from facecraft.camera import Camera, orbit_camera
from facecraft.head.lids import SHUT, unfolded_share
from facecraft.head.model import load_head


def test_lids_of_open_eyes_are_no_skin_of_shut_ones():
    head = load_head()
    camera = orbit_camera(Camera(512, 512, 1200, 1200, 256, 256), 0, 0, np.zeros(3), 0.9)
    opened, shut = (head.vertices(None, part)[0].double().numpy() for part in (None, head.expression_vector(SHUT)))
    shares = [unfolded_share(head, vertices, camera) for vertices in (opened, shut)]
    lids = (np.linalg.norm(opened - shut, axis=1) > 4e-3) & head.vertices_of(("face",)).numpy()
    assert lids.sum() > 30 and shares[0][lids].mean() < 0.15 and shares[1][lids].mean() > 2.5 * shares[0][lids].mean()
    assert (shares[0][opened[:, 1] < -0.03] == 1).all()
