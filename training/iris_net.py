"""Train the network that finds irises, on synthetic eyes alone.

Usage: python training/iris_net.py --out facecraft/face/irises.safetensors [--people 120] [--steps 4000]
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from iris_patches import grown_eyes, painted_eyes
from safetensors.torch import save_file
from torch import Tensor, nn

from facecraft.face.irises import FORMAT, LEAK, PATCH
from facecraft.head.model import load_head

WIDTH, BATCH, RATE, HELD_OUT = 12, 64, 3e-3, 10  # the last people of each kind are not trained on
SHIFT, STRETCH, TURN = 0.06, 0.10, 0.08  # of the patch's width; of its size; rad: on top of what the patches have


class IrisNet(nn.Module):
    """Patches [N, 3, *PATCH] in [0, 1] to the iris's centre [N, 2], px of the patch; see facecraft.face.irises.find_irises."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        w = width
        self.fine = nn.Sequential(_layer(3, w, 2), _layer(w, 2 * w))
        self.middle = nn.Sequential(_layer(2 * w, 3 * w, 2), _layer(3 * w, 3 * w))
        self.coarse = nn.Sequential(_layer(3 * w, 4 * w, 2), _layer(4 * w, 4 * w), _layer(4 * w, 3 * w))
        self.joined = nn.Sequential(_layer(3 * w, 2 * w), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.heat = nn.Sequential(_layer(2 * w, w), nn.Conv2d(w, 1, 1))

    def forward(self, patches: Tensor) -> Tensor:
        spread, mean = torch.std_mean(patches, (1, 2, 3), keepdim=True)
        fine = self.fine((patches - mean) / (spread + 0.02))
        middle = self.middle(fine)
        coarse = nn.functional.interpolate(self.coarse(middle), scale_factor=2, mode="bilinear")
        heat = self.heat(self.joined(middle + coarse) + fine)[:, 0]
        share = torch.softmax(heat.flatten(1), 1).reshape(heat.shape)
        rows, columns = (2 * torch.arange(n, dtype=share.dtype) + 1 for n in heat.shape[1:])
        return torch.stack([(share.sum(1) * columns).sum(1), (share.sum(2) * rows).sum(1)], 1)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(LEAK)
    )


def main() -> None:
    """Make patches, train, measure on people that were held out, write. The same numbers give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--people", type=int, default=120, help="of each of the two kinds")
    options.add_argument("--steps", type=int, default=4000)
    given = options.parse_args()
    torch.set_num_threads(1)  # sums in one order
    head = load_head()
    made = [[make(head, number) for number in range(given.people)] for make in (painted_eyes, grown_eyes)]
    taught = [part for kind in made for part in kind[:-HELD_OUT]]
    network = train(*(np.concatenate(parts) for parts in zip(*taught, strict=True)), given.steps)
    header = {"format": FORMAT, "licence": "Apache-2.0"}
    header |= {"source": f"{given.people} + {given.people} synthetic people, training/iris_patches.py"}
    for kind, name in zip(made, ("painted", "grown"), strict=True):
        patches, centres = (np.concatenate(parts) for parts in zip(*kind[-HELD_OUT:], strict=True))
        errors = measure(network, patches, centres)
        print(f"{name}: median {np.median(errors):.2f} px of {PATCH[1]}, mean {errors.mean():.2f}")
    weights = {key: value.half().contiguous() for key, value in fold(network).items()}
    save_file(weights, given.out, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(given.out, 0o644)


def train(patches: np.ndarray, centres: np.ndarray, steps: int) -> IrisNet:
    """A network trained on patches [N, 48, 64, 3] uint8 with irises [N, 2] px."""
    torch.manual_seed(0)
    network, chance = IrisNet(WIDTH), torch.Generator().manual_seed(0)
    pictures = torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(centres).float()
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


def fold(network: IrisNet) -> dict[str, Tensor]:
    """Weights and biases by layer, with the normalisation in them."""
    folded = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            gain = module[1].weight / torch.sqrt(module[1].running_var + module[1].eps)
            folded[f"{name}.weight"] = (module[0].weight * gain[:, None, None, None]).detach()
            folded[f"{name}.bias"] = (module[1].bias - gain * module[1].running_mean).detach()
    last = network.heat[1]
    return folded | {"heat.1.weight": last.weight.detach(), "heat.1.bias": last.bias.detach()}


def move(pictures: Tensor, centres: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Patches and irises shifted, stretched and turned at random."""
    n = len(pictures)
    size = torch.exp(STRETCH * torch.randn(n, generator=chance))
    angle = TURN * torch.randn(n, generator=chance)
    A = size[:, None, None] * torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(n, 2, 2)
    shift = SHIFT * PATCH[1] * torch.randn(n, 2, generator=chance)
    half = torch.tensor([PATCH[1] / 2, PATCH[0] / 2])
    theta = torch.cat([A * half / half[:, None], (shift / half)[:, :, None]], 2)
    grid = torch.nn.functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved, torch.linalg.solve(A, (centres - half - shift)[:, :, None])[:, :, 0] + half


def spoil(pictures: Tensor, chance: torch.Generator) -> Tensor:
    """Patches in other light and print: gains, gamma, some grey, glare, blur, noise."""
    n = len(pictures)

    def some(*shape):
        return torch.rand(shape, generator=chance)

    grey = pictures.mean(1, keepdim=True)
    fade = (some(n, 1, 1, 1) < 0.15).float() + (some(n, 1, 1, 1) < 0.3).float() * some(n, 1, 1, 1)
    pictures = pictures + fade.clamp(max=1) * (grey - pictures)
    pictures = (pictures * (0.7 + 0.6 * some(n, 3, 1, 1))).clamp(1e-3, 1) ** torch.exp(some(n, 1, 1, 1) - 0.5)
    y, x = torch.meshgrid(torch.arange(PATCH[0]), torch.arange(PATCH[1]), indexing="ij")
    place, radius = some(n, 2, 1, 1) * torch.tensor([PATCH[1], PATCH[0]])[:, None, None], 1 + 4 * some(n, 1, 1)
    glare = torch.exp(-((x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2) / (2 * radius**2))
    glare = (glare * (some(n, 1, 1) < 0.25) * some(n, 1, 1))[:, None]
    pictures = pictures + glare * ((some(n, 1, 1, 1) < 0.7).float() - pictures)
    soft = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    pictures = pictures + some(n, 1, 1, 1) * (soft - pictures)
    return (pictures + 0.04 * some(n, 1, 1, 1) * torch.randn(pictures.shape, generator=chance)).clamp(0, 1)


def measure(network: IrisNet, patches: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Distances [N] from the truth, px of the patch."""
    with torch.inference_mode():
        found = network(torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255).numpy()
    return np.linalg.norm(found - centres, axis=1)


if __name__ == "__main__":
    main()
