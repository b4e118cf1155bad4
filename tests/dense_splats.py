"""Small scenes of Gaussians, and their dense float64 rendering in plain torch: what the rasterisers are tested against."""

import math

import torch

NAMES = ("means", "quats", "scales", "opacities", "colors")


def random_scene(N=300, width=45, height=35, seed=0, scale=0.15, channels=3):
    g = torch.Generator().manual_seed(seed)
    scene = dict(
        means=torch.rand(N, 3, generator=g) * 2 - 1,
        quats=torch.randn(N, 4, generator=g),
        scales=torch.rand(N, 3, generator=g) * scale + 0.005,
        opacities=torch.rand(N, generator=g),
        colors=torch.rand(N, channels, generator=g),
    )
    view, K = torch.eye(4), torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    view[2, 3] = 3
    return scene, dict(viewmats=view[None], Ks=K[None], width=width, height=height)


def head_scene(N=1500, size=56, degree=None):
    """Flat Gaussians on an ellipsoid of head size, seen by two cameras 1 m away."""
    g = torch.Generator().manual_seed(3)
    normal = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    spacing = 0.75 * math.sqrt(0.11 / N)
    scene = dict(
        means=normal * torch.tensor([0.075, 0.11, 0.095]),
        quats=torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(N)], -1),
        scales=spacing * torch.exp(0.45 * torch.randn(N, 3, generator=g)) * torch.tensor([1, 1, 0.25]),
        opacities=torch.sigmoid(1.8 * torch.randn(N, generator=g) + 0.7),
        colors=0.5 + 0.5 * normal,
    )
    if degree is not None:
        scene["colors"] = 0.3 * torch.randn(N, (degree + 1) ** 2, 3, generator=g)
    views = torch.eye(4).repeat(2, 1, 1) * torch.tensor([1.0, -1, -1, 1])[:, None]
    c, s = math.cos(0.5), math.sin(0.5)
    views[1, :3, :3] = views[1, :3, :3] @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    views[:, 2, 3] = 1
    f = size * 0.8 / 0.24
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1.0]]).repeat(2, 1, 1)
    return scene, dict(viewmats=views, Ks=K, width=size, height=size)


def rotations(quats):
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def harmonics(directions, sh, degree):
    """Real SH by their Cartesian polynomials (Condon-Shortley signs), normalised by known constants."""
    x, y, z = directions.unbind(-1)
    pi = math.pi
    basis = [
        0.5 / math.sqrt(pi) + 0 * x,
        *(math.sqrt(3 / (4 * pi)) * p for p in (-y, z, -x)),
        *(0.5 * math.sqrt(15 / pi) * p for p in (x * y, -y * z)),
        0.25 * math.sqrt(5 / pi) * (3 * z * z - 1),
        *(0.5 * math.sqrt(15 / pi) * p for p in (-x * z, (x * x - y * y) / 2)),
        -math.sqrt(35 / (32 * pi)) * y * (3 * x * x - y * y),
        math.sqrt(105 / (4 * pi)) * x * y * z,
        -math.sqrt(21 / (32 * pi)) * y * (5 * z * z - 1),
        math.sqrt(7 / (16 * pi)) * z * (5 * z * z - 3),
        -math.sqrt(21 / (32 * pi)) * x * (5 * z * z - 1),
        math.sqrt(105 / (16 * pi)) * z * (x * x - y * y),
        -math.sqrt(35 / (32 * pi)) * x * (x * x - 3 * y * y),
    ]
    K = (degree + 1) ** 2
    return torch.einsum("kn,nkd->nd", torch.stack(basis[:K]), sh[:, :K])


def reference(scene, camera, background=None, depth=False, degree=None, antialiased=False):
    """Dense float64 rendering of each camera: image [C, H, W, D], alphas [C, H, W], means2d of each."""
    views = zip(camera["viewmats"].double(), camera["Ks"].double(), strict=True)
    results = [_reference_view(scene, V, K, camera, background, depth, degree, antialiased) for V, K in views]
    return torch.stack([r[0] for r in results]), torch.stack([r[1] for r in results]), [r[2] for r in results]


def _reference_view(scene, V, K, camera, background, depth, degree, antialiased):
    means, quats, scales, opacities, colors = (scene[name] for name in NAMES)
    W, H = camera["width"], camera["height"]
    p = means @ V[:3, :3].T + V[:3, 3]
    x, y, z = p.unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    tx = z * (x / z).clamp(-cx / fx - 0.15 * W / fx, (W - cx) / fx + 0.15 * W / fx)
    ty = z * (y / z).clamp(-cy / fy - 0.15 * H / fy, (H - cy) / fy + 0.15 * H / fy)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * tx / z**2, zero, fy / z, -fy * ty / z**2], -1).view(-1, 2, 3)
    M = J @ V[:3, :3] @ (rotations(quats) * scales[:, None])
    covariance = M @ M.mT + 0.3 * torch.eye(2, dtype=torch.float64)
    if antialiased:
        opacities = opacities * (torch.linalg.det(M @ M.mT) / torch.linalg.det(covariance)).sqrt()
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    if degree is not None:
        directions = torch.nn.functional.normalize(means + V[:3, :3].T @ V[:3, 3], dim=-1)
        colors = (harmonics(directions, colors, degree) + 0.5).clamp(min=0)
    if depth:
        colors = torch.cat([colors, z[:, None]], -1)
    order = torch.argsort(z.detach(), stable=True)
    order = order[z[order] > 0.01]
    pixels = torch.stack(torch.meshgrid(torch.arange(W) + 0.5, torch.arange(H) + 0.5, indexing="xy"), -1).double()
    d = pixels[:, :, None] - means2d[order]
    sigma = 0.5 * torch.einsum("hwni,nij,hwnj->hwn", d, torch.linalg.inv(covariance[order]), d)
    alpha = (opacities[order] * torch.exp(-sigma)).clamp(max=0.999)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
    after = torch.cumprod(1 - alpha, -1)
    live = after > 1e-4
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], -1)
    weight = torch.where(live, alpha * before, 0.0)
    alphas = weight.sum(-1)
    image = weight @ colors[order]
    if background is not None:
        image = image + (1 - alphas)[..., None] * background
    return image, alphas, means2d
