import pytest
import torch

from facecraft.splats.adam import Adam


def pull(adam, **targets):
    """One step towards `targets`."""
    sum(((adam.values[name] - target) ** 2).sum() for name, target in targets.items()).backward()
    adam.step()


def test_the_first_step_is_as_long_as_the_rate():
    adam = Adam({"a": torch.zeros(3), "b": torch.zeros(2)}, {"a": 0.1, "b": 0.01})
    pull(adam, a=torch.tensor([1.0, -2, 3]), b=torch.ones(2))
    assert torch.allclose(adam.values["a"], torch.tensor([0.1, -0.1, 0.1]))
    assert torch.allclose(adam.values["b"], torch.full((2,), 0.01))


def test_a_tensor_without_gradient_rests():
    adam = Adam({"view.0": torch.zeros(1), "view.1": torch.zeros(1)}, {"view": 0.1})
    for _ in range(5):
        pull(adam, **{"view.0": torch.ones(1)})
    pull(adam, **{"view.1": torch.ones(1)})
    assert adam.values["view.1"].item() == pytest.approx(0.1)  # its first step, not its sixth


def test_rows_that_stay_go_on_as_if_nothing_had_changed():
    whole, cut = (Adam({"a": torch.zeros(4)}, {"a": 0.1}) for _ in range(2))
    for adam in (whole, cut):
        pull(adam, a=torch.arange(4.0))
    parents = torch.tensor([2, 3, 1])
    cut.replace_rows({"a": cut.values["a"].detach()[parents]}, parents, 2)
    pull(whole, a=torch.arange(4.0))
    pull(cut, a=torch.arange(4.0)[parents])
    assert torch.allclose(cut.values["a"][:2], whole.values["a"][[2, 3]])
    assert not torch.allclose(cut.values["a"][2], whole.values["a"][1])  # a child starts without moments


def test_a_state_goes_on_to_the_same_result():
    first = Adam({"a": torch.zeros(3), "idle": torch.ones(1)}, {"a": 0.1, "idle": 1.0})
    pull(first, a=torch.ones(3))
    again = Adam({"a": torch.zeros(3), "idle": torch.zeros(1)}, {"a": 0.1, "idle": 1.0})
    again.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    for adam in (first, again):
        pull(adam, a=torch.ones(3))
    assert torch.equal(first.values["a"], again.values["a"]) and again.values["idle"].item() == 1


def test_another_rate_counts_from_the_next_step():
    adam = Adam({"a": torch.zeros(1), "b": torch.zeros(1)}, {"a": 0.1, "b": 0.1})
    adam.set_rate("a", 0.5)
    pull(adam, a=torch.ones(1), b=torch.ones(1))
    assert adam.values["a"].item() == pytest.approx(0.5) and adam.values["b"].item() == pytest.approx(0.1)
