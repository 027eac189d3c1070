"""BatchNorm folded into the convolution before it: the same up to rounding, faster, and no statistics to overwrite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

Pairs = Sequence[tuple[str, str]]
PLAIN = (nn.Conv2d, Conv2dSame)  # exactly these: others compute their weight anew


def pairs(network: nn.Module, run: Callable[[], object]) -> Pairs:
    """Convolutions and the BatchNorms that take what they return, by name, as one run of the network shows.

    Args:
        network: Whatever `run` runs.
        run: Runs it once.
    """
    made: dict[int, tuple[str, Tensor]] = {}  # by identity; kept, so that no other tensor gets the same
    found: list[tuple[str, str]] = []
    hooks: list[RemovableHandle] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: made.update({id(output): (name, output)})

    def match(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: found.extend(
            (made[id(one)][0], name) for one in inputs if id(one) in made and _beside(made[id(one)][0], name)
        )

    for name, module in network.named_modules():
        if type(module) in PLAIN:
            hooks.append(module.register_forward_hook(note(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(match(name)))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for pair in found for name in pair]
    return [pair for pair in found if all(names.count(name) == 1 for name in pair)]  # each is run once


def fold(network: nn.Module, found: Pairs) -> None:
    """Fold, in place; of timm's BatchNorms that activate, too, the activation stays."""
    for convolution, norm in found:
        before, after = network.get_submodule(convolution), network.get_submodule(norm)
        assert isinstance(before, nn.Conv2d)
        assert isinstance(after, nn.BatchNorm2d)
        network.set_submodule(convolution, fuse_conv_bn_eval(before, after))
        network.set_submodule(norm, getattr(after, "act", nn.Identity()))


def _beside(one: str, other: str) -> bool:
    """Whether two modules are of the same parent: there nothing but the BatchNorm takes the convolution's output."""
    return one.rpartition(".")[0] == other.rpartition(".")[0]
