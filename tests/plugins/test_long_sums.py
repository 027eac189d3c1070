"""Means over whole images are the same in the exported graph: runtimes add up in another order than torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib_lite_draem.contrast import units
from anomalib_lite_inpainting.pixel_map import _standardise
from torch import Tensor, nn


class Standardised(nn.Module):
    def __init__(self, standardise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.standardise = standardise

    def forward(self, image: Tensor) -> Tensor:
        return self.standardise(image)


def by_units(image: Tensor) -> Tensor:
    gain, offset = units(image)
    return gain * image + offset


@pytest.mark.parametrize("standardise", [by_units, lambda image: _standardise(image, image)[0]])
def test_a_graph_standardises_a_large_bright_image_as_torch_does(standardise: Callable[[Tensor], Tensor]) -> None:
    image = 0.9 + 0.02 * torch.rand((1, 3, 512, 512), generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        Standardised(standardise).eval(), (image,), dynamo=True, opset_version=18, verbose=False
    )
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert np.abs(found - standardise(image.double()).numpy()).max() < 2e-5
