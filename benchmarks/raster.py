"""Our rasteriser against plain torch: `python benchmarks/raster.py`. Prints a Markdown table of times and ratios.

The same head-like scene is rendered from raw parameters, and differentiated for all of them. The tile loop is the usual
torch port of 3D Gaussian Splatting: 16 x 16 tiles, one batch of tensor operations per tile. The dense version evaluates every
Gaussian at every pixel; it is timed on a piece of a row and scaled up to the picture.
"""

import argparse
import math
import platform
import statistics
import time

import numba
import torch

from facecraft.splats.raster import rasterization

SIZES = ((10_000, 256), (60_000, 512))
TILE = 16
DENSE_PAIRS = 4_000_000


def head_scene(N: int, size: int) -> tuple[dict, dict]:
    """Flat Gaussians on an ellipsoid of head size, a fifth of them in a thicker shell of hair, seen from 1 m."""
    g = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    hair = torch.rand(N, 1, generator=g) < 0.2
    bumps = torch.where(hair, 0.12 * torch.rand(N, 1, generator=g), 0.01 * torch.randn(N, 1, generator=g))
    flat = torch.tensor([1, 1, 0.25])
    scene = dict(
        means=normal * torch.tensor([0.075, 0.11, 0.095]) * (1 + bumps),
        # the turn that takes z to the normal
        quats=torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(N)], -1),
        scales=0.75 * math.sqrt(0.11 / N) * torch.exp(0.45 * torch.randn(N, 3, generator=g)) * flat,
        opacities=torch.sigmoid(1.8 * torch.randn(N, generator=g) + 0.7),
        colors=(0.5 + 0.5 * normal + 0.1 * torch.randn(N, 3, generator=g)).clamp(0, 1),
    )
    view = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    view[2, 3] = 1
    f = size * 0.8 / 0.24
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]])
    return scene, dict(viewmats=view[None], Ks=K[None], width=size, height=size)


def project_torch(means, quats, scales, viewmats, Ks):
    """means2d [N, 2], inverse covariances [N, 2, 2], depths [N], 3.33 sigma radii [N]."""
    V, K = viewmats[0], Ks[0]
    x, y, z = (means @ V[:3, :3].T + V[:3, 3]).unbind(-1)
    qw, qx, qy, qz = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [1 - 2 * (qy**2 + qz**2), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)]
    rows += [2 * (qx * qy + qw * qz), 1 - 2 * (qx**2 + qz**2), 2 * (qy * qz - qw * qx)]
    rows += [2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx**2 + qy**2)]
    zero = torch.zeros_like(z)
    J = torch.stack([K[0, 0] / z, zero, -K[0, 0] * x / z**2, zero, K[1, 1] / z, -K[1, 1] * y / z**2], -1)
    M = J.view(-1, 2, 3) @ V[:3, :3] @ (torch.stack(rows, -1).view(-1, 3, 3) * scales[:, None])
    covariances = M @ M.mT + 0.3 * torch.eye(2)
    radii = 3.33 * torch.linalg.eigvalsh(covariances.detach())[:, 1].sqrt()
    pixels = torch.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], -1)
    return pixels, torch.linalg.inv(covariances), z.detach(), radii


def blend_torch(ids, x0, x1, y0, y1, means2d, inverses, opacities, colors):
    """The pixels [y1 - y0, x1 - x0, 3] of a rectangle from Gaussians `ids`, sorted by depth."""
    xs, ys = torch.arange(x0, x1) + 0.5, torch.arange(y0, y1) + 0.5
    d = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 1, 2) - means2d[ids]
    a, b, c = inverses[ids, 0, 0], inverses[ids, 0, 1], inverses[ids, 1, 1]
    sigma = 0.5 * (a * d[..., 0] ** 2 + c * d[..., 1] ** 2) + b * d[..., 0] * d[..., 1]
    alpha = (opacities[ids] * torch.exp(-sigma)).clamp(max=0.999)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
    after = torch.cumprod(1 - alpha, -1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], -1)
    weight = torch.where(after > 1e-4, alpha * before, 0.0)
    return (weight @ colors[ids]).view(y1 - y0, x1 - x0, 3)


def tile_loop(scene, camera) -> torch.Tensor:
    """The picture [H, W, 3], tile by tile."""
    means2d, inverses, depths, radii = project_torch(
        *(scene[k] for k in ("means", "quats", "scales")), camera["viewmats"], camera["Ks"]
    )
    order = torch.argsort(depths, stable=True)
    centres, reach = means2d.detach()[order], radii[order, None]
    low, high = centres - reach, centres + reach
    rows = []
    for y in range(0, camera["height"], TILE):
        band = (high[:, 1] > y) & (low[:, 1] < y + TILE)
        tiles = []
        for x in range(0, camera["width"], TILE):
            ids = order[band & (high[:, 0] > x) & (low[:, 0] < x + TILE)]
            tiles.append(
                blend_torch(ids, x, x + TILE, y, y + TILE, means2d, inverses, scene["opacities"], scene["colors"])
            )
        rows.append(torch.cat(tiles, 1))
    return torch.cat(rows, 0)


def time_ours(scene, camera, v_image, backward: bool) -> float:
    start = time.perf_counter()
    image = rasterization(**scene, **camera)[0]
    if backward:
        image[0].backward(v_image)
    return time.perf_counter() - start


def time_tile_loop(scene, camera, v_image, backward: bool) -> float:
    # its tensors are small: more threads make it slower
    torch.set_num_threads(1)
    start = time.perf_counter()
    image = tile_loop(scene, camera)
    if backward:
        image.backward(v_image)
    torch.set_num_threads(numba.get_num_threads())
    return time.perf_counter() - start


def time_dense(scene, camera, v_image, backward: bool) -> float:
    """Time of a piece of the middle row, scaled to the picture; projection and sorting are left out, in its favour."""
    N, W, H = len(scene["means"]), camera["width"], camera["height"]
    columns = min(W, max(8, DENSE_PAIRS // N))
    shape = [scene[k] for k in ("means", "quats", "scales")]
    means2d, inverses, depths, _ = project_torch(*shape, camera["viewmats"], camera["Ks"])
    order, x, y = torch.argsort(depths), (W - columns) // 2, H // 2
    means2d, inverses = (t.detach().requires_grad_(backward) for t in (means2d, inverses))
    start = time.perf_counter()
    piece = blend_torch(order, x, x + columns, y, y + 1, means2d, inverses, scene["opacities"], scene["colors"])
    if backward:
        piece.backward(v_image[y : y + 1, x : x + columns])
    return (time.perf_counter() - start) * W * H / columns


def measure(function, repeats: int, scene, camera, v_image, backward: bool) -> float:
    """Median seconds of `repeats` calls after a warm-up call that is not counted (if there are several)."""
    leaves = {name: value.detach().requires_grad_(backward) for name, value in scene.items()}
    times = [function(leaves, camera, v_image, backward) for _ in range(repeats + (repeats > 1))]
    return statistics.median(times[repeats > 1 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--threads", type=int, default=numba.get_num_threads(), help="threads (the tile loop runs best on 1)"
    )
    parser.add_argument("--repeats", type=int, default=20, help="calls of ours; the others are timed once")
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, numba {numba.__version__}\n")
    print("| Gaussians | picture | pass | ours ms | torch tile loop ms | ratio | dense torch ms | ratio |")
    print("|---:|---:|---|---:|---:|---:|---:|---:|")
    for N, size in SIZES:
        scene, camera = head_scene(N, size)
        v_image = torch.randn(size, size, 3, generator=torch.Generator().manual_seed(1))
        ours_image, theirs = rasterization(**scene, **camera)[0][0], tile_loop(scene, camera)
        assert (ours_image - theirs).abs().quantile(0.99) < 1e-3, "the contestants draw different pictures"
        for backward in (False, True):
            arguments = (scene, camera, v_image, backward)
            ours = measure(time_ours, options.repeats, *arguments)
            loop, dense = (measure(f, 1, *arguments) for f in (time_tile_loop, time_dense))
            name = "forward + backward" if backward else "forward"
            print(
                f"| {N} | {size}^2 | {name} | {ours * 1e3:.1f} | {loop * 1e3:.0f} | {loop / ours:.0f}x "
                f"| {dense * 1e3:.0f} | {dense / ours:.0f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
