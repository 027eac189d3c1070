"""The reader of the published checkpoints of `draem`, on files of their names and shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from anomalib_lite_draem.config import DraemConfig
from anomalib_lite_draem.detector import Draem
from anomalib_lite_draem.published import PublishedReconstruction, PublishedSegmentation, read_published
from plain_run import map_of
from torch import Tensor

from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError


def authors_shapes(width: int, encoder: str, decoder: str, skips: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the authors' code gives them, written out: block, up, db, fin_out."""
    w, shapes = width, dict[str, tuple[int, ...]]()

    def layer(prefix: str, at: int, inputs: int, outputs: int) -> None:
        shapes[f"{prefix}.{at}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{prefix}.{at}.bias"] = (outputs,)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}.{at + 1}.{name}"] = (outputs,)
        shapes[f"{prefix}.{at + 1}.num_batches_tracked"] = ()

    def pair(prefix: str, inputs: int, between: int, outputs: int) -> None:
        layer(prefix, 0, inputs, between)
        layer(prefix, 3, between, outputs)

    first = 6 if skips else 3
    for number, (before, after) in enumerate([(first, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w)]):
        pair(f"{encoder}.block{number + 1}", before, after, after)
    if skips:
        pair(f"{encoder}.block6", 8 * w, 8 * w, 8 * w)
        stages = [("_b", 8, 8, 8), ("1", 8, 8, 4), ("2", 4, 4, 2), ("3", 2, 2, 1), ("4", 1, 1, 1)]
        for name, before, skip, after in stages:
            layer(f"{decoder}.up{name}", 1, before * w, after * w)
            pair(f"{decoder}.db{name}", (after + skip) * w, after * w, after * w)
    else:
        for number, (before, after) in enumerate([(8, 4), (4, 2), (2, 1), (1, 1)]):
            layer(f"{decoder}.up{number + 1}", 1, before * w, before * w)
            pair(f"{decoder}.db{number + 1}", before * w, before * w, after * w)
    shapes[f"{decoder}.fin_out.0.weight"] = (2 if skips else 3, w, 3, 3)
    shapes[f"{decoder}.fin_out.0.bias"] = (2 if skips else 3,)
    return shapes


def authors_state(width: int, encoder: str, decoder: str, skips: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(width)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in authors_shapes(width, encoder, decoder, skips).items()
    }


def save_authors(folder: Path, width: int, segmentation_width: int) -> Path:
    """A pair of files as the authors publish them."""
    path = folder / "DRAEM_seg_large_ae_large_0.0001_800_bs8_carpet_.pckl"
    torch.save(authors_state(width, "encoder", "decoder", False), path)
    seg = authors_state(segmentation_width, "encoder_segment", "decoder_segment", True)
    torch.save(seg, folder / "DRAEM_seg_large_ae_large_0.0001_800_bs8_carpet__seg.pckl")
    return path


def test_checkpoints_of_the_authors_load_by_name(tmp_path: Path) -> None:
    path = save_authors(tmp_path, 8, 4)  # their names at a narrower width
    pair = PublishedReconstruction(3, 8), PublishedSegmentation(6, 4)
    read_published(path, *pair)
    states = (
        authors_state(8, "encoder", "decoder", False),
        authors_state(4, "encoder_segment", "decoder_segment", True),
    )
    for module, state in zip(pair, states, strict=True):
        assert set(module.state_dict()) == set(state)
        assert all(torch.equal(module.state_dict()[name], value) for name, value in state.items())


@pytest.mark.slow
def test_the_authors_checkpoint_makes_a_detector_of_the_full_size(tmp_path: Path) -> None:
    path = save_authors(tmp_path, 128, 64)
    made = Draem(DraemConfig(size="large", checkpoint=path), ImageSpec(32, 32, 1, "uint8", 255.0)).eval()
    made.fit([], None)  # type: ignore[arg-type]  # no run: nothing is trained
    with torch.no_grad():
        assert map_of(made, torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)  # grey images are shown in three channels
    assert not made.networks.standardise


def test_what_is_no_checkpoint_of_the_authors_is_refused(tmp_path: Path) -> None:
    path = save_authors(tmp_path, 8, 4)
    with pytest.raises(ConfigError, match=r"carpet_\.pckl: .* layers differ"):
        read_published(path, PublishedReconstruction(3, 16), PublishedSegmentation(6, 4))
    (tmp_path / "DRAEM_seg_large_ae_large_0.0001_800_bs8_carpet__seg.pckl").unlink()
    with pytest.raises(ConfigError, match=r"_seg.*cannot be read"):
        read_published(path, PublishedReconstruction(3, 8), PublishedSegmentation(6, 4))
    path.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_published(path, PublishedReconstruction(3, 8), PublishedSegmentation(6, 4))
