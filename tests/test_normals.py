"""Pictures of normals: an ellipsoid of discs, whose normals are known in closed form."""

import torch
from dense_splats import head_scene

from facecraft.splats.normals import gaussian_normals, rasterize_normals

AXES = torch.tensor([0.075, 0.11, 0.095])


def discs(**kwargs):
    """`head_scene` with its discs turned to the normals of the ellipsoid that they lie on, and nearly opaque."""
    scene, camera = head_scene(**kwargs)
    normals = torch.nn.functional.normalize(scene["means"] / AXES**2, dim=-1)
    scene["quats"] = torch.stack([1 + normals[:, 2], -normals[:, 1], normals[:, 0], torch.zeros(len(normals))], -1)
    scene["scales"] = scene["scales"] * torch.tensor([1, 1, 0.05])
    scene["opacities"] = torch.full_like(scene["opacities"], 0.99)
    del scene["colors"]
    return scene, camera, normals


def test_normals_of_an_ellipsoid_face_each_camera():
    scene, camera, expected = discs(N=500)
    normals = gaussian_normals(scene["means"], scene["quats"], scene["scales"], camera["viewmats"])
    for view, found in zip(camera["viewmats"], normals, strict=True):
        rotated, points = expected @ view[:3, :3].T, scene["means"] @ view[:3, :3].T + view[:3, 3]
        towards = torch.where((rotated * points).sum(-1, keepdim=True) < 0, rotated, -rotated)
        assert torch.allclose(found, towards, atol=1e-3)
        assert ((found * points).sum(-1) <= 1e-4).all()


def test_pixels_show_the_normal_of_the_surface_behind_them():
    scene, camera, _ = discs(N=60_000, size=160)
    picture, alphas, _ = rasterize_normals(**scene, **camera)
    ys, xs = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    for c in range(2):
        R, t, f = camera["viewmats"][c, :3, :3], camera["viewmats"][c, :3, 3], camera["Ks"][c, 0, 0]
        rays = torch.stack([(xs - 80) / f, (ys - 80) / f, torch.ones_like(xs)], -1) @ R / AXES
        start = (-R.T @ t) / AXES
        # the nearer root of |start + s rays| = 1
        a, b, c0 = (rays**2).sum(-1), (rays * start).sum(-1), (start**2).sum() - 1
        inside = b**2 / a - c0 > 0.3
        s = (-b - (b**2 - a * c0).clamp_min(0).sqrt()) / a
        surface = torch.nn.functional.normalize((start + s[..., None] * rays) / AXES, dim=-1) @ R.T
        cosines = (picture[c] * surface).sum(-1)[inside]
        assert inside.sum() > 2500 and alphas[c, ..., 0][inside].min() > 0.9
        assert cosines.acos().rad2deg().median() < 3 and cosines.min() > 0.95, cosines.min()


def test_normals_turn_with_discs_and_cameras():
    scene, camera, _ = discs(N=12)
    means, quats, scales = (scene[name].double() for name in ("means", "quats", "scales"))
    quats, viewmats = quats.requires_grad_(), camera["viewmats"].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda q, views: gaussian_normals(means, q, scales, views), (quats, viewmats))


def test_a_picture_of_normals_pulls_on_the_quaternions():
    scene, camera, _ = discs(N=60, size=20)
    scene["quats"].requires_grad_()
    rasterize_normals(**scene, **camera)[0].sum().backward()
    assert scene["quats"].grad.isfinite().all() and (scene["quats"].grad.norm(dim=1) > 0).sum() > 50
