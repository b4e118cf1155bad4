import pytest
import torch

from facecraft.head.model import load_head
from facecraft.splats.region import INNER_HEIGHT, INNER_REACH, INNER_REGIONS, RegionLimits


@pytest.fixture(scope="module")
def bound():
    """One local mean on each face, up to five triangle sizes away."""
    head = load_head()
    means = 5 * torch.rand(len(head.faces), 3, generator=torch.Generator().manual_seed(0)) - 2.5
    return head, means, torch.arange(len(head.faces))


def inner_faces(head):
    return torch.isin(head.face_regions, torch.tensor([head.region_names.index(name) for name in INNER_REGIONS]))


def test_hair_may_leave_the_scalp(bound):
    head, _, binding = bound
    free = RegionLimits(head).free(binding)
    scalp = head.face_regions == head.region_names.index("scalp_neck")
    assert free[scalp].min() > 2 * free[~scalp].max()


def test_inner_gaussians_are_pulled_back_and_others_left(bound):
    head, means, binding = bound
    inner, limits = inner_faces(head), RegionLimits(head)
    pulled = limits.pull_back(means, binding)
    assert torch.equal(pulled[~inner], means[~inner])
    assert pulled[inner].norm(dim=1).max() <= INNER_REACH + 1e-6 and pulled[inner, 1].max() <= INNER_HEIGHT
    assert torch.allclose(limits.pull_back(pulled, binding), pulled, atol=1e-6)
    strayed = limits.strayed(means, binding)
    assert strayed.any() and not strayed[~inner].any() and not limits.strayed(pulled, binding).any()


def test_only_frozen_faces_are_fixed(bound):
    head, _, binding = bound
    frozen = head.face_regions == head.region_names.index("face")
    assert torch.equal(RegionLimits(head, frozen).fixed(binding), frozen)
    assert not RegionLimits(head).fixed(binding).any()
