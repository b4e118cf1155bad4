"""Adam over named tensors whose rows come and go, and which stops and goes on with the same result."""

from collections.abc import Mapping

import torch
from torch import Tensor

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """Adam (Kingma and Ba 2015, epsilon 1e-15 as in 3D Gaussian Splatting) over `values`, leaves by name.

    `rates` are by kind: the name without a number at its end. A tensor without gradient is not stepped and its moments do
    not age, so what only one view uses is a tensor of its own.
    """

    def __init__(self, values: Mapping[str, Tensor], rates: Mapping[str, float]):
        self._start(values, rates)

    def _start(self, values: Mapping[str, Tensor], rates: Mapping[str, float]) -> None:
        self.values = {name: value.detach().clone().requires_grad_() for name, value in values.items()}
        kinds = {_kind(name): [] for name in values}
        for name, value in self.values.items():
            kinds[_kind(name)].append(value)
        groups = [{"params": members, "lr": rates[kind], "kind": kind} for kind, members in kinds.items()]
        self._torch = torch.optim.Adam(groups, eps=1e-15, fused=True)

    def rates(self) -> dict[str, float]:
        """Learning rates by kind."""
        return {group["kind"]: group["lr"] for group in self._torch.param_groups}

    def set_rate(self, kind: str, rate: float) -> None:
        """Another learning rate for the tensors of one kind."""
        (group,) = (group for group in self._torch.param_groups if group["kind"] == kind)
        group["lr"] = rate

    def step(self) -> None:
        """Follow the gradients, and forget them."""
        self._torch.step()
        self._torch.zero_grad(set_to_none=True)

    def replace_rows(
        self,
        rows: Mapping[str, Tensor],  # name -> [M, ...] new values
        parents: Tensor,  # [M] long, the old row that each new row comes from
        kept: int,  # the first `kept` rows of M keep their moments, children start without
    ) -> None:
        """Give the tensors of `rows` other rows; the other tensors stay as they are."""
        state = {name: dict(self._torch.state.get(value, {})) for name, value in self.values.items()}
        for moments in (state[name] for name in rows if state[name]):
            for key in _MOMENTS:
                moments[key] = moments[key][parents]
                moments[key][kept:] = 0
        self._restore({**self.values, **rows}, state)

    def _restore(self, values: Mapping[str, Tensor], state: Mapping[str, dict[str, Tensor]]) -> None:
        self._start(values, self.rates())
        for name, moments in state.items():
            if moments:
                self._torch.state[self.values[name]] = moments

    def state(self) -> dict[str, Tensor]:
        """Values and moments by name, for a checkpoint."""
        tensors = {f"value.{name}": value.detach() for name, value in self.values.items()}
        for name, value in self.values.items():
            tensors |= {f"{key}.{name}": tensor for key, tensor in self._torch.state.get(value, {}).items()}
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `state()`; KeyError when a value is missing."""
        values = {name: tensors[f"value.{name}"] for name in self.values}
        keys = ("step", *_MOMENTS)
        state = {name: {key: tensors[f"{key}.{name}"] for key in keys} for name in values if f"step.{name}" in tensors}
        self._restore(values, state)


def _kind(name: str) -> str:
    return name.rstrip("0123456789").rstrip(".")
