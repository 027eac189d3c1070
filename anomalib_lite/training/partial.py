"""MODEL.partial: what makes an interrupted training resumable, and what keeps two trainings from being mixed up."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from anomalib_lite.data import some
from anomalib_lite.edge import disk
from anomalib_lite.edge.locks import UNSUPPORTED, FolderLock
from anomalib_lite.errors import ConfigError
from anomalib_lite.training.plan import Plan

ASKED = "asked.json"
OURS = re.compile(  # what a training writes below its folder
    r"asked\.json|\.anomalib-lite[-.][^/]*|"
    r"(fit|fold-\d+)/(minimise-\d+\.ckpt|fit\.ckpt|training\.csv|tensorboard/.*|\.anomalib-lite-[^/]*)",
    re.DOTALL,
)


def folder(out: Path) -> Path:
    """Where the training of a model keeps its checkpoints."""
    return out.with_name(out.name + ".partial")


@contextmanager
def entered(plan: Plan) -> Iterator[Path]:
    """Make the folder, or enter that of the interrupted training, and keep other trainings out of it.

    Afterwards it is removed; where the training was interrupted, or failed with a checkpoint, it stays.

    Yields:
        The folder.

    Raises:
        ConfigError: Another training is at work there; there is an interrupted one and neither --resume nor --overwrite
            is given, or it was started with other settings or images; or the folder holds what is none of ours.
    """
    place = folder(plan.request.out)
    if not is_first_process():  # the first one has made or checked it
        yield place
        return
    there = place.is_dir()
    with ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FolderLock(place))
        except BlockingIOError as error:
            raise ConfigError(
                f"{place}: a training is at work there, which will write {plan.request.out}. Wait for it, or choose "
                "another --out."
            ) from error
        except FileExistsError as error:
            raise ConfigError(f"{place} is no folder, so no training can use it: choose another --out.") from error
        except OSError as error:
            if error.errno not in UNSUPPORTED:  # a share without locks is trained on all the same
                raise ConfigError(f"{place} cannot be written ({error.strerror}): choose another --out.") from error
        _begin(plan, place, there=there)
        try:
            yield place
        except Exception:
            if not any(place.rglob("*.ckpt")):  # it ended before its first checkpoint: there is nothing to resume
                _remove(place)
            raise
        _remove(place)


def _begin(plan: Plan, place: Path, *, there: bool) -> None:
    """Compare with what an interrupted training was asked for, or remove it."""
    request, asked = plan.request, _asked(plan)
    _, others = _contents(place)
    if others and not request.resume:
        raise ConfigError(
            f"{place} holds what no training wrote, as {some(others, 3)}, so nothing removes it: move that elsewhere, "
            "or choose another --out."
        )
    if there and not request.resume:
        if not request.overwrite:
            raise ConfigError(
                f"{place} holds an interrupted training: continue it with --resume, or start anew with --overwrite."
            )
        _empty(place)
    if request.resume and (place / ASKED).exists():
        before = _read(place / ASKED)
        changed = sorted(key for key in asked if before.get(key) != asked[key])
        if changed:
            raise ConfigError(
                f"{place} was started with another {' and '.join(changed)}: give the same command as before, "
                "or start anew with --overwrite."
            )
    try:
        disk.write(place / ASKED, json.dumps(asked, indent=1).encode())
    except OSError as error:
        raise ConfigError(f"{place} cannot be written ({error.strerror}): choose another --out.") from error


def _contents(place: Path) -> tuple[list[str], list[str]]:
    """Names of the files below the folder: those that trainings write, and others."""
    ours: list[str] = []
    others: list[str] = []
    for above, below, files in os.walk(place):
        links = [name for name in below if (Path(above) / name).is_symlink()]
        for name in (*files, *links):
            inside = (Path(above) / name).relative_to(place).as_posix()
            (ours if OURS.fullmatch(inside) else others).append(inside)
    return ours, sorted(others)


def _remove(place: Path) -> None:
    """Remove what trainings wrote, and the folder unless it holds something else."""
    with suppress(OSError):
        _empty(place)
        place.rmdir()


def _empty(place: Path) -> None:
    """Remove what trainings wrote below the folder, which stays: it is locked."""
    for name in _contents(place)[0]:
        (place / name).unlink(missing_ok=True)
    for above, _, _ in os.walk(place, topdown=False):
        if Path(above) != place:
            with suppress(OSError):
                Path(above).rmdir()


def is_first_process() -> bool:
    """Whether this process is the one that was started by hand: the others of a distributed training follow it."""
    return all(os.environ.get(rank, "0") == "0" for rank in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"))


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
