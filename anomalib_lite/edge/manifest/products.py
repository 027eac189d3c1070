"""The manifest of a set: models of many products that share a network, each with a head and thresholds of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from anomalib_lite.edge.manifest.document import FILE, PRODUCTS, SET_VERSION, Document
from anomalib_lite.edge.manifest.joint import NAME
from anomalib_lite.edge.manifest.parsing import Rule

SHARED, HEAD = "shared.onnx", "head.onnx"
SHARED_GLANCE, HEAD_GLANCE = "glance.onnx", "gate_head.onnx"


@dataclass(frozen=True, slots=True)
class SharedRecord:
    """A graph whose results go to the heads of several models.

    inputs: of these models, that it reads.     handed: its results, with their sizes for one image.
    """

    inputs: tuple[str, ...]
    handed: Mapping[str, tuple[int, ...]]

    def rules(self) -> Iterator[Rule]:
        """What can be handed on."""
        for name, sizes in self.handed.items():
            yield Rule(f"handed.{name}", sizes, all(one > 0 for one in sizes), "sizes above 0")
            yield Rule(f"handed.{name}", name, name not in self.inputs, "another name than that of an input")


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """One model of a set, in the folder `products/NAME`: its own manifest, and what of its files a device needs.

    model_id: of the model that it was made of, whose manifest is here as it was.
    inputs: of its head: of the image, and what is handed on.     glance: the same of the head of its gate's graph.
    """

    name: str
    model_id: str
    inputs: tuple[str, ...]
    glance: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where its files lie, with a slash at the end."""
        return f"{PRODUCTS}/{self.name}/"

    def rules(self) -> Iterator[Rule]:
        """What it can be called."""
        yield Rule("name", self.name, NAME.fullmatch(self.name) is not None, "letters, digits, '.', '_' and '-'")


@dataclass(frozen=True, kw_only=True)
class SetManifest(Document):
    """All that a set says of itself; the manifests of its products say the rest."""

    created: str  # ISO 8601, UTC
    created_with: str  # version of the host
    products: tuple[ProductRecord, ...]
    shared: SharedRecord
    glance: SharedRecord | None = None  # None where no product has a gate of features
    files: Mapping[str, str] = field(default_factory=dict)  # name -> SHA-256
    schema_version: int = SET_VERSION

    def rules(self) -> Iterator[Rule]:
        """What products must be to each other."""
        version, names = self.schema_version, [one.name.casefold() for one in self.products]
        yield Rule("schema_version", version, version >= SET_VERSION, f"{SET_VERSION}, which older versions refuse")
        once = len(names) > 1 and len(names) == len(set(names))
        yield Rule(PRODUCTS, names, once, "at least two, told apart by more than capitals")
        yield Rule("files", SHARED, SHARED in self.files, f"a list with {SHARED}")
        yield Rule("files", SHARED_GLANCE, self.glance is None or SHARED_GLANCE in self.files, "the shared glance")
        for one in self.products:
            wanted = [FILE, HEAD, *([HEAD_GLANCE] if one.glance else [])]
            listed = all(f"{one.folder}{name}" in self.files for name in wanted)
            yield Rule(PRODUCTS, one.name, listed, f"a product whose {', '.join(wanted)} are listed")
            yield Rule(PRODUCTS, one.name, self.glance is not None or not one.glance, "no glance where none is shared")
