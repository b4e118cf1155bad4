import numpy as np
import pytest
from photographed_head import SKIN, photograph

from facecraft.head.fit import pose_vertices
from facecraft.head.model import load_head
from facecraft.head.mouth import fit_teeth
from facecraft.mesh.raster import rasterize_mesh

TOOTH, CAVITY, LONGER = 0.8, 0.05, 2.5e-3
SIZE = 512


def smile(longer_m: float, tooth: float, jaw: float = 0.2):
    """A head that smiles in front of a camera, and its picture with longer teeth of some brightness."""
    head, true = load_head(), photograph(0)
    channels = {"jawOpen": jaw, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7} if jaw else {}
    expression = head.expression_vector(channels)[0].numpy()
    upper = head.vertices_of(("teeth_upper",)).numpy()
    height = head.template.double().numpy()[:, 1]
    offsets = np.zeros(head.template.shape)
    offsets[upper, 1] = -longer_m * (height[upper].max() - height[upper]) / np.ptp(height[upper])
    camera = true.camera.resized(SIZE, SIZE)
    shown, real = (pose_vertices(head, true.shape, expression, np.zeros((2, 2)), part) for part in (None, offsets))
    buffers = rasterize_mesh(camera.project(real), head.faces.numpy(), SIZE, SIZE)
    colours = np.full((len(head.region_names), 3), CAVITY)
    colours[head.region_names.index("face")] = SKIN
    colours[[head.region_names.index(name) for name in ("teeth_upper", "teeth_lower")]] = tooth
    image = np.where(buffers.mask[..., None], colours[head.face_regions.numpy()[buffers.face_ids]], 1)
    return head, shown, camera, image, offsets


def test_teeth_are_drawn_down_to_where_those_of_the_photo_end():
    head, shown, camera, image, true = smile(LONGER, TOOTH)
    found = fit_teeth(head, shown, camera, image)
    assert np.abs(found - true).max() < 0.8e-3
    assert not found[~head.vertices_of(("teeth_upper",)).numpy()].any()


@pytest.mark.parametrize(("longer", "tooth", "jaw"), [(0.0, TOOTH, 0.2), (LONGER, 0.1, 0.2), (LONGER, TOOTH, 0.0)])
def test_teeth_that_fit_or_are_not_seen_stay(longer, tooth, jaw):
    head, shown, camera, image, _ = smile(longer, tooth, jaw)
    assert np.abs(fit_teeth(head, shown, camera, image)).max() < 0.5e-3
