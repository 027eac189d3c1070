"""BatchNorm folded into convolutions: of architectures of many makes the maps stay what they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("timm")

from anomalib_lite.features.architectures import Architecture, cut, layers_of, maps
from anomalib_lite.features.folding import fold, pairs


def lively(network: nn.Module) -> None:
    """Statistics and scales that are not those of a new network."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean = 0.1 * torch.randn_like(norm.running_mean)
            norm.running_var = 0.5 + torch.rand_like(norm.running_var)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.1)


@pytest.mark.parametrize(
    ("name", "folded", "norms"),
    [
        ("tf_efficientnet_lite0", 48, 48),
        ("resnet18", 20, 20),
        ("mobilenetv3_small_050", 34, 34),
        ("densenet121", 59, 121),  # half of them come before their convolution
        ("repvgg_a0", 44, 61),  # a third of them has none
        ("convnext_atto", 0, 0),
    ],
)
@torch.no_grad()
def test_the_maps_stay(name: str, folded: int, norms: int) -> None:
    torch.manual_seed(0)
    network = Architecture(name, 64, 64).build()
    numbers = sorted(one.number for one in layers_of(network).values())
    cut(network, numbers)
    lively(network)
    image = torch.randn(2, 3, 64, 64)
    assert sum(isinstance(one, nn.BatchNorm2d) for one in network.modules()) == norms
    found, before = pairs(network, lambda: maps(network, numbers, image)), maps(network, numbers, image)
    fold(network, found)
    assert len(found) == folded
    assert sum(isinstance(one, nn.BatchNorm2d) for one in network.modules()) == norms - folded
    for one, other in zip(before, maps(network, numbers, image), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(one.abs().max()))


class Shared(nn.Module):
    """What cannot be folded: a convolution that is run twice, and one whose output goes to a norm of another parent."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.after = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.other, self.inner = nn.Conv2d(3, 3, 1), nn.Sequential(nn.BatchNorm2d(3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        plain = self.other(image)
        out: torch.Tensor = self.after(self.twice(self.after(self.twice(image)))) + self.inner(plain) + plain
        return out


def test_what_is_used_twice_is_left() -> None:
    network = Shared().eval()
    assert pairs(network, lambda: network(torch.rand(1, 3, 4, 4))) == []
