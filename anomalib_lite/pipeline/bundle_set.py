"""Makes one set of the models of many products: the network that they share is stored and computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalib_lite import registry
from anomalib_lite.data import count, some
from anomalib_lite.edge import bundle, selfcheck
from anomalib_lite.edge.bundle import GRAPH, MANIFEST, Bundle, SetBundle
from anomalib_lite.edge.images import imaging, kept
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Readers
from anomalib_lite.edge.intake import GATE, Source
from anomalib_lite.edge.joint import refuse_other_readers
from anomalib_lite.edge.manifest import (
    HEAD,
    HEAD_GLANCE,
    SHARED,
    SHARED_GLANCE,
    Manifest,
    ProductRecord,
    SetManifest,
    SharedRecord,
    now,
)
from anomalib_lite.edge.manifest.joint import NAME
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.modelset import ModelSet
from anomalib_lite.errors import ConfigError, ExportError, ImageError, MissingExtra, ModelError
from anomalib_lite.pipeline.export import RENDERED, TRAINING_FILES
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.selfcheck import rendered
from anomalib_lite.registry import Registry
from anomalib_lite.version import __version__


@dataclass(frozen=True, kw_only=True)
class Made:
    """A new set, and what there is to say about it."""

    bundle: SetBundle
    before: int  # bytes of the graphs of the single models
    difference: float  # largest one of a score from that of the product's own model, in tolerances
    compared: int  # images, all together
    notes: list[str]

    @property
    def after(self) -> int:
        """Bytes of the graphs of the set."""
        return len(self.bundle.shared) + sum(len(self.bundle.head(name)) for name in self.bundle.records)


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models, of which one at a time is in memory."""

    paths: Mapping[str, Path]  # product -> its model
    track: Track

    def each(self, label: str) -> Iterator[tuple[str, Bundle]]:
        """The name of each product, and its bundle."""
        for name in self.track(list(self.paths), label):
            yield name, bundle.load(self.paths[name])

    def graphs(self, file: str, label: str) -> Iterator[bytes]:
        """A graph of each that has it."""
        return (one.read(file) for _, one in self.each(label) if file in one.manifest.files)


def bundle_set(
    models: Sequence[tuple[str, Path]],
    out: Path,
    *,
    overwrite: bool = False,
    threads: int = 0,
    plugins: Registry | None = None,
    track: Track = untracked,
) -> Made:
    """Make a set. Nothing is written where a product would be judged otherwise than by its own model.

    Args:
        models: What each product is called, empty for the name of its file, and its model.
        out: The folder to make, or the zip where the name ends so.
        overwrite: Replace an existing bundle.
        threads: For one image; 0 lets onnxruntime choose.
        plugins: What is installed, where that was loaded already.
        track: Shows progress.

    Raises:
        ConfigError: There are fewer than two models, their names do not tell them apart, or they read files otherwise.
        ModelError: A model is refused, the models share no network, or `out` cannot be written.
        ExportError: A product would be judged otherwise.
    """
    bundle.refuse_existing(out, overwrite=overwrite)
    given = Models(paths=_named(models), track=track)
    refuse_other_readers((name, one.manifest.readers) for name, one in given.each("comparing readers"))
    draft, before = _drafted(given, out)
    readers = (plugins or registry.load()).readers
    made = ModelSet(draft, threads=threads, readers=readers)
    differences = list(_differences(made, given, threads, readers))
    written = bundle.write_set(draft, overwrite=overwrite)
    return Made(
        bundle=written, before=before, difference=max(differences), compared=len(differences), notes=_told_apart(made)
    )


def _drafted(given: Models, out: Path) -> tuple[SetBundle, int]:
    """The set, not yet written, and the bytes of the graphs that it is made of."""
    try:
        from anomalib_lite.graph.sharing import Sharing
    except ImportError as error:
        raise MissingExtra("onnx", "train", "bundle-set") from error
    common = Sharing(given.graphs(GRAPH, "comparing"), given.graphs(GRAPH, "dividing"))
    looks = Sharing(given.graphs(GATE, "comparing gates"), given.graphs(GATE, "dividing gates"))
    contents, records, before = dict[str, bytes](), list[ProductRecord](), 0
    shared, glance = None, None
    for name, one in given.each("writing"):
        manifest, gated = one.manifest, GATE in one.manifest.files
        if shared is None:
            shared = common.shared(one.graph)
            if not shared.stored:
                raise ModelError(_unshared(given))
        if gated and glance is None:
            glance = looks.shared(one.read(GATE))
        head, look = common.head(one.graph), looks.head(one.read(GATE)) if gated else None
        record = ProductRecord(name, one.model_id, head.inputs, look.inputs if look else ())
        carried = [file for file in manifest.files if file not in (*TRAINING_FILES, GRAPH, GATE)]
        own = {file: one.read(file) for file in (*carried, MANIFEST)} | {HEAD: head.graph}
        own |= {HEAD_GLANCE: look.graph} if look else {}
        contents |= {f"{record.folder}{file}": content for file, content in own.items()}
        records.append(record)
        before += len(one.graph)
    assert shared is not None
    contents |= {SHARED: shared.graph} | ({SHARED_GLANCE: glance.graph} if glance else {})
    described = SetManifest(
        created=now(), created_with=__version__, products=tuple(records),
        shared=SharedRecord(shared.inputs, shared.outputs),
        glance=SharedRecord(glance.inputs, glance.outputs) if glance else None,
    )  # fmt: skip
    return bundle.drafted(out, described, contents), before


def _named(models: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Product -> its model.

    Raises:
        ConfigError: There are fewer than two, or their names do not tell them apart, or cannot be kept.
    """
    if len(models) < 2:
        raise ConfigError("bundle-set joins at least two models: give MODEL MODEL, or bottle=MODEL can=MODEL.")
    found: dict[str, Path] = {}
    known: dict[str, str] = {}
    for given, path in models:
        name = given or (path.stem if path.suffix == ".zip" else path.absolute().name)
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"'{name}' cannot name a product on all systems: letters a to z, digits, '.', '_' and '-' can, 64 at "
                f"most. Name it: NAME={path}"
            )
        if name.casefold() in known:
            raise ConfigError(
                f"two products are called '{known[name.casefold()]}' and '{name}' ({path}), which not all systems tell "
                f"apart. Name one otherwise: NAME={path}"
            )
        found[name], known[name.casefold()] = path, name
    return found


def _unshared(given: Models) -> str:
    """Why models share no network, by what is told of each."""
    told: dict[str, dict[str, list[str]]] = {}
    for name, one in given.each("comparing"):
        for fact, value in _facts(one.manifest).items():
            told.setdefault(fact, {}).setdefault(value, []).append(name)
    differing = [
        f"{fact}: " + "; ".join(f"{value} ({some(names, 3)})" for value, names in values.items())
        for fact, values in told.items()
        if len(values) > 1
    ]
    why = ". They differ in " + ". ".join(differing) if differing else (
        ": their networks were trained on their own images, and are not frozen ones"
    )  # fmt: skip
    return (
        f"these models share no network{why}. A set takes models of one frozen network (neighbours, fusion, draem and "
        "others), made with the same options on images of one size: make a set of those, and leave the others single."
    )


def _facts(manifest: Manifest) -> dict[str, str]:
    spec, size = manifest.image, manifest.framing.source
    height, width = size or (spec.height, spec.width)
    channels = count(spec.channels, "channel")
    return {
        "detector": manifest.detector.name,
        "input": f"{width} x {height}, {channels}, {spec.dtype} {spec.black:g} to {spec.white:g}",
        "weights": (manifest.detector.weights or "none").partition(":")[0],
        "backbone": str(manifest.options.get("backbone", "the detector's own")),
        "arithmetic": "int8" if manifest.exported is not None and manifest.exported.int8 else "float",
    }


def _differences(made: ModelSet, given: Models, threads: int, readers: Readers) -> Iterator[float]:
    """How far each score of the set is from that of the product's own model, in tolerances of that.

    Raises:
        ExportError: One is farther than the tolerance, or a verdict differs.
    """
    for name in given.track(list(given.paths), "verifying"):
        single, product = Model(given.paths[name], threads=threads, readers=readers), made.product(name)
        for image, reference in _images(single):
            before, here = (model.inspect(image, reference=reference) for model in (single, product))
            tol = single.thresholds.tol
            far = 0.0 if before.score is None or here.score is None else abs(before.score - here.score)
            if before.verdict is not here.verdict or before.error != here.error or not far <= tol:
                raise ExportError(
                    f"{name}: in the set an image has the score {here.score} and is {here.verdict}, by its own model "
                    f"{before.score} and {before.verdict} (tolerance {tol:.1e}). Nothing was written; report this."
                )
            yield far / tol if tol else 0.0


def _images(model: Model) -> Iterator[tuple[Source, Source | None]]:
    """What a model and its product are compared on: the self-check or, without one, rendered images."""
    listed = model.bundle.manifest.selfcheck
    yield from (selfcheck.carried(model.bundle, one) for one in listed)
    for number in () if listed else RENDERED:
        yield kept.of(Picture(rendered(model.framing.spec, number)), "rendered"), None


def _told_apart(made: ModelSet) -> list[str]:
    """What is to be said of whether the look of an image tells its product, by the images that products carry."""
    if lacking := [name for name, one in made.bundle.records.items() if not one.glance]:
        return [f"images have to be given with their product: {some(lacking)} cannot be told by features of images"]
    wrong: dict[str, str] = {}
    for name in made.products:
        model = made.product(name)
        assert model.intake.gate is not None
        for one in model.bundle.manifest.selfcheck:
            read = model.opener.read(selfcheck.carried(model.bundle, one)[0]).pixels
            pixels = imaging.conform(read, model.framing.spec, convert=model.framing.convert)
            try:
                if model.intake.gate.objection(pixels) is None and (seen := made.recognise(pixels)) != name:
                    wrong[name] = f"{name} is taken for {seen}"
            except ImageError as error:
                wrong[name] = f"{name}: {error}"
    if not wrong:
        return ["images are told by their look; what looks like none or like two is ERROR unknown_product"]
    return [
        f"the look of images does not tell {len(wrong)} of {len(made.products)} products",
        *list(wrong.values())[:5],
    ]
