"""Files gone wrong: what any reader of the package must answer with a FacecraftError or with values that are finite."""

import random
from collections.abc import Iterator
from dataclasses import fields

import pytest
import torch

from facecraft.errors import FacecraftError
from facecraft.splats.gaussians import Gaussians


def mutants(data: bytes, count: int, front: int = 200, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged copies: bytes changed (most among the first `front`), parts cut out, doubled or swapped for noise."""
    draw = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            where = draw.randrange(min(front, len(changed)) if draw.random() < 0.7 else len(changed))
            match draw.randrange(5):
                case 0:
                    changed[where] ^= 1 << draw.randrange(8)
                case 1:
                    changed[where : where + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f"])
                case 2:
                    del changed[where : where + draw.randint(1, 40)]
                case 3:
                    changed[where:where] = changed[where : where + draw.randint(1, 40)]
                case 4:
                    changed[where : where + 1] = draw.choice([b"9", b"-", b"e", b"[", b"null", b"0"])
            if not changed:
                break
        yield bytes(changed)


def read_all(read, path, damaged: Iterator[bytes], check) -> int:
    """Read each of `damaged` from `path`; FacecraftErrors are fine, results go to `check`. How many were read."""
    done = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            result = read()
        except FacecraftError as error:
            assert "\n" not in str(error)
            continue
        check(result)
        done += 1
    return done


def check_finite(gaussians: Gaussians) -> None:
    for field in fields(Gaussians):
        assert torch.isfinite(getattr(gaussians, field.name)).all(), field.name


def some_gaussians(count: int, coefficients: int = 1) -> Gaussians:
    """Random ones of the size of a head: 0.1 m apart, about 5 mm large."""
    draw = torch.Generator().manual_seed(count)
    shapes = (count, 3), (count, 4), (count, 3), (count,), (count, coefficients, 3)
    means, quats, scales, opacities, sh = (torch.randn(shape, generator=draw) for shape in shapes)
    return Gaussians(0.1 * means, quats, scales / 2 - 5.3, opacities, sh / 2)


def angles_between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angles [N], rad, between the rotations of quaternions [N, 4]."""
    a, b = (torch.nn.functional.normalize(quats.double(), dim=1) for quats in (a, b))
    return 2 * (a * b).sum(1).abs().clamp(max=1).acos()


def refuses(read, path, data: bytes, named: str) -> None:
    path.write_bytes(data)
    with pytest.raises(FacecraftError, match=named) as caught:
        read(path)
    assert str(path) in str(caught.value)
