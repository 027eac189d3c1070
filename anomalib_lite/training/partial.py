"""MODEL.partial: what makes an interrupted training resumable, and what keeps two trainings from being mixed up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from anomalib_lite.edge import disk
from anomalib_lite.errors import ConfigError
from anomalib_lite.training.plan import Plan

ASKED = "asked.json"


def folder(out: Path) -> Path:
    """Where the training of a model keeps its checkpoints."""
    return out.with_name(out.name + ".partial")


def enter(plan: Plan) -> Path:
    """Make the folder, or enter that of the interrupted training.

    Returns:
        The folder.

    Raises:
        ConfigError: There is an interrupted training and neither --resume nor --overwrite is given, or it was
            started with other settings or images.
    """
    request = plan.request
    place = folder(request.out)
    if not is_first_process():  # the first one has made or checked it
        return place
    asked = _asked(plan)
    if place.exists() and not request.resume:
        if not request.overwrite:
            raise ConfigError(
                f"{place} holds an interrupted training: continue it with --resume, or start anew with --overwrite."
            )
        place.unlink() if place.is_file() else shutil.rmtree(place)
    if request.resume and (place / ASKED).exists():
        before = _read(place / ASKED)
        changed = sorted(key for key in asked if before.get(key) != asked[key])
        if changed:
            raise ConfigError(
                f"{place} was started with another {' and '.join(changed)}: give the same command as before, "
                "or start anew with --overwrite."
            )
    try:
        place.mkdir(parents=True, exist_ok=True)
        disk.write(place / ASKED, json.dumps(asked, indent=1).encode())
    except OSError as error:
        raise ConfigError(f"{place} cannot be written ({error.strerror}): choose another --out.") from error
    return place


def leave(place: Path) -> None:
    """Remove what a training left behind that ended before its first checkpoint: there is nothing to resume."""
    if is_first_process() and not any(place.rglob("*.ckpt")):
        shutil.rmtree(place, ignore_errors=True)


def is_first_process() -> bool:
    """Whether this process is the one that was started by hand: the others of a distributed training follow it."""
    return all(os.environ.get(rank, "0") == "0" for rank in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def _asked(plan: Plan) -> dict[str, Any]:
    """What must be the same for a training to be continued; where it runs, and for how long, may change."""
    config = plan.config.model_dump(mode="json")
    for name in ("device", "devices", "nodes", "minutes", "steps"):
        del config["training"][name]
    goldens = plan.goldens.files if plan.goldens else {}
    return {
        "configuration": config,
        "options": plan.options.model_dump(mode="json"),
        "set of images": _digest(sorted(plan.survey.fingerprint(plan.fit).items())),  # their contents: names repeat
        "set of golden images": _digest(sorted((name, _digest(content)) for name, content in goldens.items())),
        "region of interest": _digest(plan.region.png if plan.region else None),
    }


def _digest(what: object) -> str:
    content = what if isinstance(what, bytes) else repr(what).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def _read(asked: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(asked.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{asked} is damaged ({error}): start anew with --overwrite.") from error
