from __future__ import annotations

import pytest
import torch
from torch import nn

from facebench.mnn import processes

CPU = torch.device("cpu")


def test_one_process_is_all_there_is(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    processes.begin(CPU)
    assert (processes.world(), processes.rank()) == (1, 0)
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    total = processes.sum_of_all(value)
    assert torch.equal(total, value)
    assert not total.requires_grad
    network = nn.Sequential(nn.BatchNorm2d(3))
    assert processes.share_norms(network, CPU) is network
    assert type(network[0]) is nn.BatchNorm2d


def test_alone_a_shared_norm_is_a_plain_one():
    torch.manual_seed(0)
    shared, plain, x = processes.SharedNorm(3), nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(shared(x), plain(x))
    torch.testing.assert_close(shared.running_var, plain.running_var)
    torch.testing.assert_close(shared.eval()(x), plain.eval()(x))


def several(monkeypatch):
    """Make this process believe that there is another one, which has the very same batch."""
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "all_reduce", lambda sums: 2 * sums)


def test_norms_are_shared_among_several(monkeypatch):
    several(monkeypatch)
    network = processes.share_norms(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), CPU)
    assert type(network[1]) is processes.SharedNorm
    x = torch.randn(4, 3, 5, 5)
    plain = nn.BatchNorm2d(3)
    torch.testing.assert_close(network[1](x), plain(torch.cat([x, x]))[:4])
    torch.testing.assert_close(network[1].running_var, plain.running_var)


def test_values_that_hardly_vary_far_from_zero_give_no_nan(monkeypatch):
    several(monkeypatch)
    # The mean of squares less the square of the mean is rounded to either side of nothing.
    for value in torch.linspace(1000, 5000, 20):
        norm = processes.SharedNorm(1)
        x = (value + 0.01 * torch.randn(4, 1, 7, 7)).requires_grad_()
        answer = norm(x)
        answer.sum().backward()
        assert torch.isfinite(answer).all()
        assert torch.isfinite(x.grad).all()
        assert norm.running_var >= 0


@pytest.mark.slow
def test_a_norm_of_two_processes_is_that_of_the_joined_batch(two_processes):
    given = torch.load(two_processes / "given.pt")
    norm = nn.BatchNorm2d(3, momentum=0.3)
    norm.load_state_dict(given["norm"])
    x = given["x"].clone().requires_grad_()
    for _ in range(2):
        answer = norm(x)
    (answer * given["pull"]).sum().backward()
    found = [torch.load(two_processes / f"norm{rank}.pt") for rank in (0, 1)]

    def close(one, other):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)

    assert [one["kind"] for one in found] == ["SharedNorm", "SharedNorm"]
    close(torch.cat([one["answer"] for one in found]), answer.detach())
    close(torch.cat([one["slope"] for one in found]), x.grad)
    for one in found:
        close(one["weight"], norm.weight.grad)
        close(one["bias"], norm.bias.grad)
        for name, value in norm.state_dict().items():
            close(one["state"][name], value)
    close(torch.cat([one["seen"] for one in found]), norm.eval()(x).detach())
