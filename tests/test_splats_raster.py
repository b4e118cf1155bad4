"""The rasteriser against a dense float64 rendering in plain torch, closed forms, and gsplat where there is CUDA."""

import math

import numba
import numpy as np
import pytest
import torch
from dense_splats import NAMES, head_scene, random_scene, reference

from facecraft.errors import DependencyError
from facecraft.splats.raster import rasterization, rasterize
from facecraft.splats.tiles import sort_by_depth


def leaves(scene, dtype):
    return {name: value.detach().to(dtype).requires_grad_() for name, value in scene.items()}


def compare(scene, camera, background=None, depth=False, degree=None, grad_bar=1e-5, antialiased=False):
    """Picture, alpha and gradients of a random linear loss (by Gaussians and cameras), ours against the reference."""
    scene, camera = {**scene, "viewmats": camera["viewmats"]}, {**camera}
    C = len(camera.pop("viewmats"))
    ours, theirs = leaves(scene, torch.float32), leaves(scene, torch.float64)
    mode = "RGB+D" if depth else "RGB"
    backgrounds = None if background is None else background.float().expand(C, -1)
    if depth and background is not None:
        background = torch.cat([background, background.new_zeros(1)])
    sampling = "antialiased" if antialiased else "classic"
    image, alphas, _ = rasterization(
        **ours, **camera, backgrounds=backgrounds, render_mode=mode, sh_degree=degree, rasterize_mode=sampling
    )
    cameras = {**camera, "viewmats": theirs["viewmats"]}
    expected, expected_alphas, _ = reference(theirs, cameras, background, depth, degree, antialiased)
    for a, b in ((image, expected), (alphas[..., 0], expected_alphas)):
        error = (a - b).abs().detach()
        assert error.quantile(0.999) <= 5e-6, error.quantile(0.999)
        assert (error > 1e-4).double().mean() <= 1e-3 and error.max() <= 1e-2, error.max()
    v = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    v_alphas = torch.randn(alphas.shape, generator=torch.Generator().manual_seed(2))
    ((image * v).sum() + (alphas * v_alphas).sum()).backward()
    ((expected * v).sum() + (expected_alphas * v_alphas[..., 0]).sum()).backward()
    for name in (*NAMES, "viewmats"):
        a, b = ours[name].grad.double(), theirs[name].grad
        assert (a - b).norm() <= grad_bar * b.norm(), (name, float((a - b).norm() / b.norm()))


@pytest.mark.parametrize("seed, scale", [(0, 0.15), (1, 0.02), (2, 0.5)])
def test_random_scene_equals_dense_float64(seed, scale):
    scene, camera = random_scene(seed=seed, scale=scale)
    compare(scene, camera)


def test_depth_background_and_partial_tiles():
    scene, camera = random_scene(width=37, height=21)
    compare(scene, camera, background=torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), depth=True)


def test_opaque_gaussians_stop_pixels():
    scene, camera = random_scene(N=500, scale=0.3)
    scene["opacities"] = 0.9 + 0.099 * scene["opacities"]
    compare(scene, camera)


def test_antialiased_opacities():
    """Some Gaussians smaller than a pixel, where the blur of the picture counts."""
    scene, camera = random_scene(scale=0.05)
    scene["scales"] = scene["scales"] + 0.01
    compare(scene, camera, antialiased=True)


@pytest.mark.parametrize("channels", [1, 5, 11])
def test_any_number_of_channels(channels):
    scene, camera = random_scene(N=150, width=24, height=24, channels=channels)
    compare(scene, camera, background=torch.rand(channels, dtype=torch.float64))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_head_with_harmonics_from_two_cameras(degree):
    scene, camera = head_scene(N=600, size=40, degree=degree)
    compare(scene, camera, degree=degree, grad_bar=1e-3)


def test_head_scene():
    scene, camera = head_scene()
    compare(scene, camera, background=torch.ones(3, dtype=torch.float64), grad_bar=1e-3)


def test_gaussians_beside_and_behind_the_camera():
    scene, camera = random_scene(N=300)
    camera["viewmats"] = camera["viewmats"].clone()
    camera["viewmats"][0, 2, 3] = 0.8
    inside = (scene["means"][:, 2] + 0.8 > 0.1) | (scene["means"][:, 2] + 0.8 < -0.1)
    compare({name: value[inside] for name, value in scene.items()}, camera, grad_bar=2e-5)


def test_needles():
    """Length to width 1000: the reason for float64 in the projection."""
    scene, camera = random_scene(N=200)
    scene["scales"] = torch.tensor([[0.5, 5e-4, 5e-4]]).repeat(200, 1)
    compare(scene, camera)


def test_one_gaussian_closed_form():
    scene, camera = random_scene(N=1, width=33, height=33)
    scene.update(means=torch.zeros(1, 3), scales=torch.full((1, 3), 0.2), opacities=torch.tensor([0.8]))
    image, alphas, meta = rasterization(**scene, **camera)
    variance = (33 * 0.2 / 3) ** 2 + 0.3
    offset = torch.arange(33) - 16
    expected = 0.8 * torch.exp(-(offset[:, None] ** 2 + offset**2) / (2 * variance))
    expected[expected < 1 / 255] = 0
    assert torch.allclose(alphas[0, ..., 0], expected, atol=1e-6)
    assert torch.allclose(image[0], expected[..., None] * scene["colors"][0], atol=1e-6)
    assert torch.allclose(meta["means2d"][0, 0], torch.tensor([16.5, 16.5]))
    assert meta["radii"].tolist() == [[[math.ceil(math.sqrt(2 * math.log(0.8 * 255) * variance))] * 2]]
    assert torch.allclose(meta["conics"][0, 0], torch.tensor([1 / variance, 0, 1 / variance]))
    assert meta["depths"].tolist() == [[3.0]] and (meta["width"], meta["height"], meta["n_cameras"]) == (33, 33, 1)


@pytest.mark.parametrize("quat_length", [1e-3, 1, 50])
def test_quaternions_need_no_unit_length(quat_length):
    scene, camera = random_scene(N=50)
    expected = rasterization(**scene, **camera)[0]
    scene["quats"] = torch.nn.functional.normalize(scene["quats"], dim=-1) * quat_length
    assert torch.allclose(rasterization(**scene, **camera)[0], expected, atol=1e-5)


def test_expected_depth_of_a_wall_is_its_distance():
    scene, camera = random_scene(N=300)
    scene["means"][:, 2] = 0
    depth, alphas, _ = rasterization(**scene, **camera, render_mode="ED")
    assert torch.allclose(depth[alphas > 0.01], torch.tensor(3.0), atol=1e-4)
    both = rasterization(**scene, **camera, render_mode="RGB+ED")[0]
    assert torch.equal(both[..., 3:], depth)
    accumulated = rasterization(**scene, **camera, render_mode="D")[0]
    assert torch.allclose(accumulated, 3 * alphas, atol=1e-5)


def test_empty_view_shows_the_background():
    scene, camera = random_scene(N=5)
    scene["means"] = scene["means"] - torch.tensor([0, 0, 100.0])
    leaf = leaves(scene, torch.float32)
    image, alphas, meta = rasterization(**leaf, **camera, backgrounds=torch.tensor([[0.1, 0.2, 0.3]]))
    assert (image == torch.tensor([0.1, 0.2, 0.3])).all() and (alphas == 0).all() and (meta["radii"] == 0).all()
    image.sum().backward()
    assert all((value.grad == 0).all() for value in leaf.values())


def test_background_gradient_is_the_transmittance():
    scene, camera = random_scene()
    backgrounds = torch.zeros(1, 3, requires_grad=True)
    image, alphas, _ = rasterization(**scene, **camera, backgrounds=backgrounds)
    image.sum().backward()
    assert torch.allclose(backgrounds.grad, (1 - alphas).sum().expand(1, 3), rtol=1e-5)


def test_means2d_gradient_and_absgrad():
    """means2d.grad moves the 2D mean; absgrad sums |gradient| pixel by pixel, checked one pixel at a time."""
    scene, camera = random_scene(N=20, width=13, height=11)
    v = torch.randn(1, 11, 13, 3, generator=torch.Generator().manual_seed(1))
    signed, absolute = torch.zeros(1, 20, 2), torch.zeros(1, 20, 2)
    for y, x in np.ndindex(11, 13):
        image, _, meta = rasterization(**leaves(scene, torch.float32), **camera)
        meta["means2d"].retain_grad()
        (image * v)[0, y, x].sum().backward()
        signed += meta["means2d"].grad
        absolute += meta["means2d"].grad.abs()
    image, _, meta = rasterization(**leaves(scene, torch.float32), **camera, absgrad=True)
    meta["means2d"].retain_grad()
    (image * v).sum().backward()
    assert torch.allclose(meta["means2d"].grad, signed, rtol=1e-4, atol=1e-4)
    assert torch.allclose(meta["means2d"].absgrad, absolute, rtol=1e-4, atol=1e-4)
    assert (absolute > signed.abs() + 1e-3).any()


def test_bit_identical_over_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    scene, camera = head_scene(degree=1)
    results = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        leaf = leaves(scene, torch.float32)
        image, alphas, _ = rasterization(**leaf, **camera, sh_degree=1, absgrad=True)
        (image.square().sum() + alphas.sum()).backward()
        results.append([image, alphas, *(value.grad for value in leaf.values())])
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_bit_identical_over_tile_sizes():
    scene, camera = head_scene(N=4000, size=203)
    pictures = [rasterization(**scene, **camera, tile_size=size)[:2] for size in (4, 8, 16)]
    for image, alphas in pictures[1:]:
        assert torch.equal(image, pictures[0][0]) and torch.equal(alphas, pictures[0][1])


def test_more_tiles_per_gaussian_than_expected():
    """The lists of spans grow, and the gradients do not depend on the height of the tiles."""
    scene, camera = random_scene(N=40, width=120, height=300, scale=1.0)
    results = []
    for size in (4, 16):
        leaf = leaves(scene, torch.float32)
        image, _, _ = rasterization(**leaf, **camera, tile_size=size)
        image.square().sum().backward()
        results.append([image.detach(), *(value.grad for value in leaf.values())])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * b.abs().max()) for a, b in zip(*results, strict=True))


def test_small_radii_are_clipped():
    scene, camera = random_scene()
    radii = rasterization(**scene, **camera)[2]["radii"]
    clipped = rasterization(**scene, **camera, radius_clip=4)[2]["radii"]
    assert torch.equal(clipped, radii * (radii > 4).any(-1, keepdim=True)) and not torch.equal(clipped, radii)


def test_colors_of_each_camera():
    scene, camera = head_scene(N=200, size=24)
    colors = torch.stack([scene["colors"], 1 - scene["colors"]])
    both = rasterization(**{**scene, "colors": colors}, **camera)[0]
    for c in range(2):
        assert torch.equal(both[c], rasterization(**{**scene, "colors": colors[c]}, **camera)[0][c])


def test_depth_sort_is_stable_and_skips_culled():
    rng = np.random.default_rng(0)
    depths = rng.choice(rng.random(300).astype(np.float32) * 1e3 + 1e-3, 5000)
    radii = rng.integers(0, 2, (5000, 1)).astype(np.int32).repeat(2, 1)
    seen = np.flatnonzero(radii[:, 0])
    assert np.array_equal(sort_by_depth(depths, radii), seen[np.argsort(depths[seen], kind="stable")])


def test_wrong_shapes_and_modes_are_refused():
    scene, camera = random_scene(N=4)
    with pytest.raises(AssertionError, match=r"\[4, 2\]"):
        rasterization(**{**scene, "scales": torch.ones(4, 2)}, **camera)
    with pytest.raises(AssertionError, match=r"\[4, 3\]"):
        rasterization(**{**scene, "opacities": torch.ones(4, 3)}, **camera)
    with pytest.raises(AssertionError, match="RGBD"):
        rasterization(**scene, **camera, render_mode="RGBD")


def test_cpu_tensors_use_our_rasteriser():
    scene, camera = random_scene(N=30)
    assert torch.equal(rasterize(**scene, **camera)[0], rasterization(**scene, **camera)[0])


def test_missing_gsplat_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gsplat", None)
    scene, camera = random_scene(N=3)
    elsewhere = {name: value.to("meta") for name, value in scene.items()}
    with pytest.raises(DependencyError, match="pip install"):
        rasterize(**elsewhere, **camera)


@pytest.mark.gpu
@pytest.mark.parametrize("sampling", ["classic", "antialiased"])
@pytest.mark.parametrize("mode", ["RGB", "D", "RGB+ED"])
@pytest.mark.parametrize("degree", [None, 3])
def test_cpu_and_gsplat_agree(degree, mode, sampling):
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    pytest.importorskip("gsplat")
    scene, camera = head_scene(degree=degree)
    viewmats, Ks, size = camera["viewmats"], camera["Ks"], (camera["width"], camera["height"])
    results = []
    for device in ("cpu", "cuda"):
        leaf = {
            name: value.detach().to(device).requires_grad_() for name, value in {**scene, "viewmats": viewmats}.items()
        }
        options = dict(sh_degree=degree, render_mode=mode, rasterize_mode=sampling, absgrad=True)
        if mode != "D":
            options["backgrounds"] = torch.full((2, 3), 0.5, device=device)
        image, alphas, meta = rasterize(*leaf.values(), Ks.to(device), *size, **options)
        meta["means2d"].retain_grad()
        (image.square().sum() + alphas.sum()).backward()
        grads = [value.grad for value in leaf.values() if value.grad is not None]
        grads += [meta["means2d"].grad, meta["means2d"].absgrad]
        shapes = {name: tuple(meta[name].shape) for name in ("means2d", "radii", "depths", "conics", "opacities")}
        results.append(([t.cpu() for t in (image, alphas, *grads)], shapes))
    ((image, alphas, *grads), shapes), ((expected, expected_alphas, *expected_grads), expected_shapes) = results
    assert shapes == expected_shapes and len(grads) == len(expected_grads)
    for a, b in ((image, expected), (alphas, expected_alphas)):
        error = (a - b).abs()
        assert error.quantile(0.999) <= 1e-4 and error.max() <= 1e-1
    for a, b in zip(grads, expected_grads, strict=True):
        assert (a - b).norm() <= 1e-3 * b.norm(), float((a - b).norm() / b.norm())
