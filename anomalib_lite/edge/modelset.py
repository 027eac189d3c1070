"""A set, loaded: models of many products on one network. A name says which product an image shows, or its look does."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from anomalib_lite.edge import libraries
from anomalib_lite.edge.bundle import JointBundle, Key, SetBundle, load_every
from anomalib_lite.edge.gate import Gate
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.appearance import appearance
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.intake import Intake, Source, name_of
from anomalib_lite.edge.joint import Joint, shared_opener
from anomalib_lite.edge.manifest import ProductRecord
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Glance, Runtime
from anomalib_lite.edge.sessions import Head, Shared
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError, ModelError

CLEARLY = 2.0  # times as far must an image lie from any other product that it fits, or it is not told which it shows
REMEDY = "Say which product it is: --product NAME, or a column 'product'"


class ModelSet:
    """Models of several products. Safe from several threads at once; a head is loaded where it is first needed."""

    def __init__(
        self,
        source: str | os.PathLike[str] | SetBundle,
        *,
        provider: str = "cpu",
        threads: int = 0,
        readers: Readers = NO_READERS,
        trust: Key | None = None,
    ) -> None:
        """Load and verify a set, as `bundle-set` makes it. Arguments and errors as of `Model`."""
        libraries.check()
        loaded = source if isinstance(source, SetBundle) else load_every(Path(source), trust=trust)
        if not isinstance(loaded, SetBundle):
            raise ModelError(f"{source}: is no set of products: load it with anomalib_lite.edge.Model, or .Joint.")
        self.bundle = loaded
        self.provider, self.threads, self._readers = provider, threads, readers
        record = loaded.manifest
        self._shared = Shared(loaded.shared, record.shared, provider=provider, threads=threads)
        glance = record.glance
        self._glance = None if glance is None else Shared(loaded.glance, glance, provider="cpu", threads=1)
        self._models: dict[str, Model] = {}
        self._lock = threading.Lock()

    @property
    def model_id(self) -> str:
        """First 12 characters of the SHA-256 of the manifest."""
        return self.bundle.model_id

    @property
    def products(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.bundle.records)

    @property
    def runtime(self) -> Runtime:
        """That of the first product: all run by the same provider, with as many threads."""
        return self.product(self.products[0]).runtime

    @cached_property
    def opener(self) -> Opener:
        """What finds the files of all products."""
        return shared_opener([self.product(name) for name in self.products])

    def product(self, name: str) -> Model:
        """The model of a product, as `Model` would load it: the same thresholds, the same id.

        Raises:
            ConfigError: There is none of this name.
            ModelError: It is damaged.
        """
        if name not in self.bundle.records:
            shown = ", ".join(self.products[:10]) + (", ..." if len(self.products) > 10 else "")
            raise ConfigError(f"there is no product '{name}' in {self.bundle.path}: it has {shown}.")
        with self._lock:
            if name not in self._models:
                self._models[name] = self._loaded(self.bundle.records[name])
            return self._models[name]

    def inspect(
        self, image: Source, *, product: str | None = None, reference: Source | None = None, name: str | None = None
    ) -> Result:
        """Judge one image by the model of its product; nothing is raised for an image. See `look`."""
        return self.look(image, product=product, reference=reference, name=name).result

    def look(
        self, image: Source, *, product: str | None = None, reference: Source | None = None, name: str | None = None
    ) -> Seen:
        """The verdict on an image, and the image as it was read.

        Args:
            image: As `Model.inspect` takes it.
            product: Which one it shows; None: its look tells, or it is ERROR, `unknown_product`.
            reference: As of `Model.inspect`.
            name: Likewise.
        """
        started, read = time.perf_counter(), None
        called = name or name_of(image)
        try:
            if product is None:
                read = self.opener.read(image)
                product = self.recognise(read.pixels)
            elif product not in self.bundle.records:
                raise ImageError(f"{called}: there is no product '{product}' in this set", ErrorCode.UNKNOWN_PRODUCT)
            seen = self.product(product).look(image, reference=reference, name=name, read=read)
        except ImageError as error:
            seen = Seen(self.refuse(called, str(error), error.code), read)
            seen = seen._replace(result=replace(seen.result, sha256=read.sha256 if read else ""))
        except Exception as error:  # noqa: BLE001 - a line must not pass a part because of a fault of ours
            seen = Seen(self.refuse(called, f"{type(error).__name__}: {error}"), read)
        ms = 1000 * (time.perf_counter() - started)
        return seen._replace(result=replace(seen.result, member=product or "", ms=ms))

    def recognise(self, pixels: Pixels) -> str:
        """The one product of which an image (H, W, C) looks like those of the training, by the gate of each.

        Raises:
            ConfigError: A product has no gate that tells images apart.
            ImageError: It looks like none, or like several (`unknown_product`).
        """
        self.refuse_unrecognised()
        gates = self._gates
        first, glance = next(iter(gates.values()))
        seen = imaging.conform(pixels, first.spec, convert=self._converts)
        handed, found, far = glance.begun(seen), appearance(seen), {}
        for name, (gate, glance) in gates.items():
            distance = glance.finished(handed)
            if gate.beyond(found, distance) is None:
                far[name] = distance / gate.record.limits["features"][1]
        if not far:
            raise ImageError(f"it looks like none of the {len(self.products)} products", ErrorCode.UNKNOWN_PRODUCT)
        best, *others = sorted(far, key=lambda name: far[name])
        if others and far[others[0]] < CLEARLY * far[best]:
            said = f"it looks like '{best}', and like '{others[0]}'. {REMEDY}"
            raise ImageError(said, ErrorCode.UNKNOWN_PRODUCT)
        return best

    def refuse_unrecognised(self) -> None:
        """Raise where the look of an image does not tell its product.

        Raises:
            ConfigError: A product has no gate of features.
        """
        if lacking := [name for name, one in self.bundle.records.items() if not one.glance]:
            raise ConfigError(
                f"{', '.join(lacking[:5])}: has no gate of features, so that no image is told to show it. {REMEDY}; or "
                "train it with gate.enabled=true and gate.features=auto, on 8 parts at least."
            )

    def refuse(self, name: str, reason: str, code: str = ErrorCode.INTERNAL) -> Result:
        """The result of an image that is not inspected: ERROR, for a reason that is no fault of its file alone."""
        return replace(self.product(self.products[0]).refuse(name, reason, code), model_id=self.model_id)

    @cached_property
    def _gates(self) -> dict[str, tuple[Gate, Glance]]:
        gates = {name: self.product(name).intake.gate for name in self.products}
        return {name: (gate, gate.glance) for name, gate in gates.items() if gate and gate.glance}

    @cached_property
    def _converts(self) -> bool:
        return any(self.product(name).framing.convert for name in self.products)

    def _loaded(self, record: ProductRecord) -> Model:
        own, glance = self.bundle.product(record.name), None
        if record.glance and self._glance is not None:
            read = partial(self.bundle.glance_head, record.name)
            glance = Glance(Head(self._glance, record.glance, read), own.manifest.image)
        intake = Intake.of(own, self._readers, glance)
        head = Head(self._shared, record.inputs, partial(self.bundle.head, record.name))
        inputs = own.manifest.graph.inputs
        runtime = Runtime(head, intake.framing, inputs, provider=self.provider, threads=self.threads)
        model = Model.around(own, intake, runtime)
        model.origin = (self.bundle.path, record.name)
        return model


def load(
    source: str | os.PathLike[str], *, product: str | None = None, provider: str = "cpu", threads: int = 0,
    readers: Readers = NO_READERS, trust: Key | None = None,
) -> Model | Joint | ModelSet:  # fmt: skip
    """Load a bundle of any kind; of a set the model of one product, where it is named. Else as of `Model`.

    Raises:
        ConfigError: A product is named, and this is no set, or has none of this name.
    """
    loaded = load_every(Path(source), trust=trust)
    if isinstance(loaded, SetBundle):
        found = ModelSet(loaded, provider=provider, threads=threads, readers=readers)
        return found if product is None else found.product(product)
    if product is not None:
        raise ConfigError(f"--product {product}: {source} is no set of products. Leave it out.")
    kind = Joint if isinstance(loaded, JointBundle) else Model
    return kind(loaded, provider=provider, threads=threads, readers=readers)  # type: ignore[arg-type]
