"""Makes of a model what a device carries: graph, manifest and self-check, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from anomalib_lite.data import Folders
from anomalib_lite.edge import bundle, decision
from anomalib_lite.edge.bundle import GRAPH, Bundle
from anomalib_lite.edge.images import imaging, kept
from anomalib_lite.edge.images.kept import encode
from anomalib_lite.edge.images.picture import Picture, Pixels
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.manifest import Expected, without_names
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import carried
from anomalib_lite.errors import ConfigError, ExportError, ModelError
from anomalib_lite.evidence import known
from anomalib_lite.graph.resize import embed_resize
from anomalib_lite.pipeline import selfcheck
from anomalib_lite.pipeline.foreign import without_foreign_files
from anomalib_lite.pipeline.int8 import Int8, quantised
from anomalib_lite.version import __version__

RENDERED = range(1, 6)  # compared where there is no self-check
TRAINING_FILES = ("weights.safetensors", "report.html", "training.csv")


class Calibrated(NamedTuple):
    """What the graph that was calibrated says of an image."""

    score: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Exported:
    """What was written, and what there is to say about it."""

    bundle: Bundle
    notes: list[str]

    @property
    def is_int8(self) -> bool:
        """Whether the graph is int8."""
        exported = self.bundle.manifest.exported
        return exported is not None and exported.int8 is not None


def export(
    model: Path,
    out: Path,
    *,
    source_size: tuple[int, int] | None = None,
    int8: Path | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    folders: Folders | None = None,
    overwrite: bool = False,
    blind: bool = False,
    threads: int = 0,
    sign: Path | None = None,
    readers: Readers = NO_READERS,
) -> Exported:
    """Write what a device needs; names of images and parts are replaced by salted hashes.

    Args:
        model: The bundle.
        out: A zip where the name ends so, or a folder. 'int8' in its name becomes 'float' where it is not kept.
        source_size: (height, width) of a camera's images: the graph then takes these, and resizes them itself.
        int8: The data that it was trained with, to try an int8 graph; it is kept only where it is worth it.
        group: Of that data: regular expression for the physical part, as at the training.
        columns: Of that data: renamed CSV columns.
        folders: Of that data: which folders hold good images, as at the training.
        overwrite: Replace `out`.
        blind: Write a model that finds next to nothing of what was planted, too.
        threads: That one image is measured with; 0 leaves it to onnxruntime.
        sign: A private Ed25519 key, to sign what is written.
        readers: For file types that the host does not read itself.

    Raises:
        ModelError: The model is refused, or blind, or passes known defects, or `out` cannot be written.
        ConfigError: The model cannot have its resize embedded, or the key cannot be used.
        ExportError: The graph with the resize gives another result.
    """
    bundle.refuse_existing(out, overwrite=overwrite)
    signer = None if sign is None else bundle.signer(sign)
    loaded = Model(model, threads=threads, readers=readers)
    notes = _sighted(loaded, blind=blind)
    columns = columns or {}
    attempt = None if int8 is None else quantised(loaded, int8, group=group, columns=columns, folders=folders)
    draft, said = _drafted(loaded, out, attempt, source_size)
    bundle.refuse_existing(draft.path, overwrite=overwrite)
    return Exported(_write(draft, overwrite=overwrite, sign=signer), [*notes, *said])


def _sighted(model: Model, *, blind: bool) -> list[str]:
    """What is to be said of the evidence that the model finds defects.

    Raises:
        ModelError: It speaks against that, and nobody said that this is known.
    """
    if passed := known.unaccepted(model.bundle.manifest):
        raise ModelError(
            f"{model.bundle.path}: {known.named(passed)}. Take another row of the menu (calibrate MODEL --row N), or "
            "say there why they may pass: --accept REASON."
        )
    evidence = model.bundle.manifest.evidence
    if evidence is None:
        return ["no evidence of detection in this model: whether it finds defects is not known from it"]
    if evidence.blind and not blind:
        raise ModelError(
            f"{model.bundle.path}: do not trust this model to find anything: {'; '.join(evidence.blind)}. See its "
            "report.html; train longer, with another detector or better light, or take another row of the menu "
            "(calibrate MODEL --row N). Export it all the same with --blind."
        )
    return [f"WARNING: do not trust this model to find anything: {reason}" for reason in evidence.blind]


def _drafted(model: Model, out: Path, int8: Int8 | None, size: tuple[int, int] | None) -> tuple[Bundle, list[str]]:
    """What will be written, and what is to be said of it."""
    draft, notes = _for_device(model, out), []
    if int8 is not None:
        model, draft, said = _tried(model, draft, int8)
        notes.append(said)
    if size is not None:
        draft, said = _resizing(model, draft, size)
        notes.append(said)
    return draft, notes


def _write(draft: Bundle, *, overwrite: bool, sign: bundle.Signer | None) -> Bundle:
    """Write a bundle without the names of images and parts."""
    return bundle.write(draft.path, without_names(draft.manifest), draft.kept, overwrite=overwrite, sign=sign)


def _tried(model: Model, draft: Bundle, attempt: Int8) -> tuple[Model, Bundle, str]:
    """The int8 graph where it is worth it, and what to say of that."""
    if objections := attempt.trial.objections():
        said = f"int8 is not adopted, the graph stays float: {'; '.join(objections)}"
        named = draft.path.with_name(re.sub("int8", "float", draft.path.name, flags=re.IGNORECASE))
        return model, replace(draft, path=named), said
    adopted = _adopted(model, draft, attempt)
    said = f"int8 is adopted: {attempt.trial.speedup:.2f} times as fast, thresholds calibrated anew"
    if model.bundle.manifest.evidence is not None:
        said += "; the evidence of detection is that of the float graph, and is left out"
    return adopted, adopted.bundle, said


def _resizing(model: Model, draft: Bundle, size: tuple[int, int]) -> tuple[Bundle, str]:
    """With the resize of a camera's images in the graph, and what to say of that."""
    compared = "a self-check score" if draft.manifest.selfcheck else "the score of a rendered image"
    embedded, difference = _embedded(model, draft, size)
    return embedded, (
        f"the graph takes {size[1]} x {size[0]} pixels and resizes them; largest difference of {compared} "
        f"{difference:.1e}, tolerance {model.thresholds.tol:.1e}"
    )


def _for_device(model: Model, out: Path) -> Bundle:
    """A model as it will be written, without what only training and its machine need."""
    names = [name for name in model.bundle.manifest.files if name not in TRAINING_FILES]
    manifest = model.bundle.manifest.for_device(model.model_id, __version__)
    return without_foreign_files(model, Bundle(out, manifest, "", {name: model.bundle.read(name) for name in names}))


def _adopted(model: Model, draft: Bundle, int8: Int8) -> Model:
    """With graph and thresholds of int8, and a self-check that expects what int8 says."""
    manifest = draft.manifest.recalibrated(
        int8.calibration, held_out=int8.held_out, selfcheck=draft.manifest.selfcheck
    ).quantised(int8.trial.to_json())
    quantised_draft = replace(draft, manifest=manifest, kept={**draft.kept, GRAPH: int8.graph})
    adopted = Model.around(quantised_draft, model.intake, int8.runtime)
    judged = [_judged(adopted, one) for one in manifest.selfcheck]
    expected = selfcheck.judged_again(judged, adopted.thresholds)
    dropped = {name for one in judged for name in one.files} - {name for one in expected for name in one.files}
    kept = {name: content for name, content in quantised_draft.kept.items() if name not in dropped}
    draft = replace(draft, manifest=replace(manifest, selfcheck=tuple(expected)), kept=kept)
    return Model.around(draft, model.intake, int8.runtime)


def _judged(model: Model, one: Expected) -> Expected:
    """What a model says of a self-check image."""
    image, reference = carried(model.bundle, one)
    result = model.inspect(image, reference=reference)
    if result.score is None:
        raise ExportError(f"{one.file}: the int8 graph cannot measure it ({result.error}). Export without --int8.")
    return replace(one, score=result.score, verdict=result.verdict.value)


def _embedded(model: Model, draft: Bundle, size: tuple[int, int]) -> tuple[Bundle, float]:
    """With a graph that resizes, and a self-check of images of that size.

    Returns:
        The draft, and the largest difference of a self-check score from that of the graph that was calibrated; where
        the model carries no self-check, of the score of a rendered image.
    """
    _refuse_unsuitable(model, size)
    before = draft.manifest.selfcheck
    files = {name: content for name, content in draft.kept.items() if name not in {one.file for one in before}}
    files[GRAPH] = embed_resize(files[GRAPH], model.framing.spec, *size)
    manifest = replace(draft.manifest, framing=replace(draft.manifest.framing, source=size))
    embedded = Model(replace(draft, manifest=manifest, kept=files))
    expected, differences = [], []
    for one in before:
        pixels = model.intake.read(carried(draft, one)[0]).pixels
        pixels = imaging.resize(pixels, *size)
        calibrated, difference = _compared(model, embedded, one.file, pixels)
        differences.append(difference)
        if decision.is_decisive(calibrated.score, model.thresholds):
            file = str(Path(one.file).with_suffix(".png").as_posix())
            expected.append(replace(one, file=file, score=calibrated.score, verdict=calibrated.verdict))
            files[file] = encode(pixels)[1]
    for number in () if before else RENDERED:
        pixels = imaging.resize(selfcheck.rendered(model.framing.spec, number), *size)
        differences.append(_compared(model, embedded, f"rendered image {number}", pixels)[1])
    return replace(draft, manifest=replace(manifest, selfcheck=tuple(expected)), kept=files), max(differences)


def _refuse_unsuitable(model: Model, size: tuple[int, int]) -> None:
    if model.framing.mode != "stretch" or model.framing.source:
        what = "resizes within its graph already" if model.framing.source else f"has image.mode={model.framing.mode}"
        raise ConfigError(f"--source-size: this model {what}; only a model that stretches its images can embed that.")
    spec = model.framing.spec
    if spec.dtype not in ("uint8", "uint16") or spec.channels not in (1, 3):
        raise ConfigError(
            f"--source-size: this model takes {spec.dtype} with {spec.channels} channels; only for grey and colour of "
            "8 and 16 bits can the graph resize. Leave it out."
        )
    if model.bundle.manifest.compares:
        raise ConfigError("--source-size: a model that compares with a golden image takes images of its size already.")
    if min(size) < 1 or size[0] * size[1] > model.opener.limits.pixels:
        raise ConfigError(f"--source-size {size[0]}x{size[1]}: expected HEIGHTxWIDTH of the camera, such as 2048x2448.")
    limits = {} if model.bundle.manifest.gate is None else model.bundle.manifest.gate.limits
    for side, name in zip(size, ("height", "width"), strict=True):
        low, high = limits.get(name, (side, side))
        if not low <= side <= high:
            raise ConfigError(
                f"--source-size {size[0]}x{size[1]}: the gate of this model lets no image of that {name} pass, its "
                f"limits are {low:.0f} to {high:.0f}: train on images of this camera, or with gate.enabled=false."
            )


def _compared(model: Model, embedded: Model, name: str, pixels: Pixels) -> tuple[Calibrated, float]:
    """What the calibrated graph says of an image of the camera's size; and how far the embedded one's score is off."""
    image = kept.of(Picture(pixels), name)  # which no gate stands before
    calibrated, here = model.inspect(image), embedded.inspect(image)
    if calibrated.score is None or here.score is None:
        raise ExportError(f"{name}: cannot be measured at that size ({calibrated.error or here.error}).")
    difference = abs(here.score - calibrated.score)
    tol = model.thresholds.tol
    if not difference <= tol:
        raise ExportError(
            f"{name}: with the resize in the graph the score moves by {difference:.1e}, more than the tolerance "
            f"{tol:.1e}. Nothing was written; export without --source-size."
        )
    return Calibrated(calibrated.score, calibrated.verdict.value), difference
