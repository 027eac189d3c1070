"""What a training is asked for, as the command line gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anomalib_lite.data import Images


@dataclass(frozen=True, kw_only=True)
class Request(Images):
    """What `train` is asked, as the command line gives it."""

    detector: str
    out: Path
    config: Path | None = None
    settings: Sequence[str] = ()  # "score.sigma=2"
    overrides: Mapping[str, Any] = field(default_factory=dict)  # dotted keys from options such as --minutes
    golden: Sequence[Path] = ()  # golden images, where `data` names none
    carry: Literal["training", "all"] = "training"  # which of those that `data` names travel with the model
    golden_pattern: str | None = None  # which of them an image is compared with: see `edge.golden.goldens.Goldens`
    simulate: int | None = None  # `data` holds golden images alone: inspections to simulate of each
    known: Path | None = None  # a table of known defects: see `pipeline.known`
    resume: bool = False
    overwrite: bool = False
    show_progress: bool = False
    threads: int = 0  # that one held-out image is measured with; 0 leaves it to onnxruntime
