"""Train networks that find points in patches of pictures (facecraft.face.heat): what `iris_net.py` and `upper_face_net.py` share."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facecraft.face.heat import LEAK

WIDTH, BATCH, RATE = 12, 64, 3e-3
SHIFT, STRETCH, TURN = 0.06, 0.10, 0.08  # of the patch's width; of its size; rad: on top of what the patches have


class HeatNet(nn.Module):
    """Patches [N, 3, H, W] in [0, 1] to P points [N, P, 2], px of the patch; see facecraft.face.heat.find_points."""

    def __init__(self, points: int, width: int = WIDTH):
        super().__init__()
        w = width
        self.fine = nn.Sequential(_layer(3, w, 2), _layer(w, 2 * w))
        self.middle = nn.Sequential(_layer(2 * w, 3 * w, 2), _layer(3 * w, 3 * w))
        self.coarse = nn.Sequential(_layer(3 * w, 4 * w, 2), _layer(4 * w, 4 * w), _layer(4 * w, 3 * w))
        self.joined = nn.Sequential(_layer(3 * w, 2 * w), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.heat = nn.Sequential(_layer(2 * w, w), nn.Conv2d(w, points, 1))

    def forward(self, patches: Tensor) -> Tensor:
        spread, mean = torch.std_mean(patches, (1, 2, 3), keepdim=True)
        fine = self.fine((patches - mean) / (spread + 0.02))
        middle = self.middle(fine)
        coarse = nn.functional.interpolate(self.coarse(middle), scale_factor=2, mode="bilinear")
        heat = self.heat(self.joined(middle + coarse) + fine)
        share = torch.softmax(heat.flatten(2), 2).reshape(heat.shape)
        rows, columns = (2 * torch.arange(n, dtype=share.dtype) + 1 for n in heat.shape[2:])
        return torch.stack([(share.sum(2) * columns).sum(2), (share.sum(3) * rows).sum(2)], 2)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(LEAK)
    )


def train(patches: np.ndarray, points: np.ndarray, steps: int, width: int = WIDTH) -> HeatNet:
    """A network trained on patches [N, H, W, 3] uint8 with points [N, P, 2] px."""
    torch.manual_seed(0)
    network, chance = HeatNet(points.shape[1], width), torch.Generator().manual_seed(0)
    pictures = torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(points).float()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for step in range(steps):
        chosen = torch.randint(len(pictures), (BATCH,), generator=chance)
        moved, wanted = move(pictures[chosen], targets[chosen], chance)
        loss = torch.nn.functional.smooth_l1_loss(network(spoil(moved, chance)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            print(f"step {step + 1}: {loss.item():.2f}", flush=True)
    return network.eval()


def fold(network: HeatNet) -> dict[str, Tensor]:
    """Weights and biases by layer, with the normalisation in them."""
    folded = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            gain = module[1].weight / torch.sqrt(module[1].running_var + module[1].eps)
            folded[f"{name}.weight"] = (module[0].weight * gain[:, None, None, None]).detach()
            folded[f"{name}.bias"] = (module[1].bias - gain * module[1].running_mean).detach()
    last = network.heat[1]
    return folded | {"heat.1.weight": last.weight.detach(), "heat.1.bias": last.bias.detach()}


def move(pictures: Tensor, points: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Patches and their points shifted, stretched and turned at random."""
    n = len(pictures)
    size = torch.exp(STRETCH * torch.randn(n, generator=chance))
    angle = TURN * torch.randn(n, generator=chance)
    A = size[:, None, None] * torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(n, 2, 2)
    rows, columns = pictures.shape[2:]
    shift = SHIFT * columns * torch.randn(n, 2, generator=chance)
    half = torch.tensor([columns / 2, rows / 2])
    theta = torch.cat([A * half / half[:, None], (shift / half)[:, :, None]], 2)
    grid = torch.nn.functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved, torch.linalg.solve(A[:, None], (points - half - shift[:, None])[..., None])[..., 0] + half


def spoil(pictures: Tensor, chance: torch.Generator) -> Tensor:
    """Patches in other light and print: gains, gamma, some grey, glare, blur, noise."""
    n, rows, columns = len(pictures), *pictures.shape[2:]

    def some(*shape):
        return torch.rand(shape, generator=chance)

    grey = pictures.mean(1, keepdim=True)
    fade = (some(n, 1, 1, 1) < 0.15).float() + (some(n, 1, 1, 1) < 0.3).float() * some(n, 1, 1, 1)
    pictures = pictures + fade.clamp(max=1) * (grey - pictures)
    pictures = (pictures * (0.7 + 0.6 * some(n, 3, 1, 1))).clamp(1e-3, 1) ** torch.exp(some(n, 1, 1, 1) - 0.5)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    place, radius = some(n, 2, 1, 1) * torch.tensor([columns, rows])[:, None, None], 1 + 4 * some(n, 1, 1)
    glare = torch.exp(-((x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2) / (2 * radius**2))
    glare = (glare * (some(n, 1, 1) < 0.25) * some(n, 1, 1))[:, None]
    pictures = pictures + glare * ((some(n, 1, 1, 1) < 0.7).float() - pictures)
    soft = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    pictures = pictures + some(n, 1, 1, 1) * (soft - pictures)
    return (pictures + 0.04 * some(n, 1, 1, 1) * torch.randn(pictures.shape, generator=chance)).clamp(0, 1)


def measure(network: HeatNet, patches: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Ways [N, P, 2] from the truth, px of the patch."""
    with torch.inference_mode():
        found = network(torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255).numpy()
    return found - points


def save_network(network: HeatNet, path: Path, form: str, source: str) -> None:
    """Write the weights as facecraft.face.heat.load_network reads them."""
    header = {"format": form, "licence": "Apache-2.0", "source": source}
    weights = {key: value.half().contiguous() for key, value in fold(network).items()}
    save_file(weights, path, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(path, 0o644)
