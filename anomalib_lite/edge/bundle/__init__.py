"""A trained model as a folder or a zip: read, written, and checked before anything of it is used."""

from anomalib_lite.edge.bundle.files import (
    GRAPH,
    MANIFEST,
    MAX_BYTES,
    METADATA_KEY,
    Bundle,
    graph_digest,
    load,
    metadata,
    to_json,
    with_metadata,
)
from anomalib_lite.edge.bundle.joint import JointBundle, load_any, write_joint
from anomalib_lite.edge.bundle.products import SetBundle, drafted, load_every, write_set
from anomalib_lite.edge.bundle.signing import Key, Signer, signer
from anomalib_lite.edge.bundle.writing import refuse_existing, write

__all__ = [
    "GRAPH",
    "MANIFEST",
    "MAX_BYTES",
    "METADATA_KEY",
    "Bundle",
    "JointBundle",
    "Key",
    "SetBundle",
    "Signer",
    "drafted",
    "graph_digest",
    "load",
    "load_any",
    "load_every",
    "metadata",
    "refuse_existing",
    "signer",
    "to_json",
    "with_metadata",
    "write",
    "write_joint",
    "write_set",
]
