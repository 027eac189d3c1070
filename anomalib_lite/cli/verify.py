"""anomalib-lite verify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.bundle_set import Product

if TYPE_CHECKING:
    from anomalib_lite.edge.model import Model as LoadedModel
    from anomalib_lite.edge.modelset import ModelSet
    from anomalib_lite.edge.selfcheck import Replayed

Trusted: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="KEY",
        help="Refuse the model unless it was signed with the private key of this public Ed25519 key, a PEM file.",
    ),
]


def verify(
    model: options.Model,
    key: Trusted = None,
    product: Product = None,
    provider: options.Provider = "cpu",
    threads: options.Threads = 0,
) -> None:
    """Check that a model gives the same verdicts on this machine.

    Compares with the machine that trained it, image by image. Exits with 4 where the model is damaged, or a verdict
    differs.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.modelset import ModelSet, load

    readers = console.plugins().readers
    loaded = load(model, product=product, provider=provider, threads=threads, readers=readers, trust=key)
    if isinstance(loaded, ModelSet):
        _replay_products(loaded)
    elif isinstance(loaded, Joint):
        for name, member in loaded.members.items():
            console.out(f"{name}:")
            _replay(member)
        console.promised(loaded.bundle.manifest.calibration)
        console.out(f"all members judge as they did  ({loaded.model_id})")
    else:
        _replay(loaded)
    if key is not None:
        console.out(f"signed with the private key of {key}")


def _replay_products(loaded: ModelSet) -> None:
    """The same for each product of a set, a line for each.

    Raises:
        ModelError: As `_replay`.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.selfcheck import replay

    rows = []
    for name in loaded.products:
        product = loaded.product(name)
        replayed, tol = replay(product), product.thresholds.tol
        _refuse_failures(product.bundle.path, replayed, tol)
        far = max(one.difference for one in replayed)
        rows.append((name, product.model_id, f"{len(replayed)} of {len(replayed)}", f"{far:.1e}", f"{tol:.1e}"))
    console.table(("product", "model", "verdicts the same", "largest difference", "tolerance"), rows)
    console.out(f"all products judge as they did  ({loaded.model_id})")


def _replay(loaded: LoadedModel) -> None:
    """Judge the self-check images of a model again, and print what it finds.

    Raises:
        ModelError: It carries none, one cannot be measured here, or has another verdict.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.selfcheck import replay

    replayed = replay(loaded)
    console.table(
        ("image", "expected", "here", "score", "difference"),
        [
            (
                one.expected.file,
                one.expected.verdict,
                one.verdict.value,
                console.number(one.score, 6),
                f"{one.difference:.1e}",
            )
            for one in replayed
        ],
    )
    tol = loaded.thresholds.tol
    console.out(f"largest difference {max(one.difference for one in replayed):.1e}, tolerance {tol:.1e}")
    _refuse_failures(loaded.bundle.path, replayed, tol)
    console.out(f"{len(replayed)} of {len(replayed)} verdicts are the same  ({loaded.model_id})")
    evidence = loaded.bundle.manifest.evidence
    if evidence is None:
        console.out("no evidence of detection in this model: whether it finds defects is not known from it")
    else:
        console.menu(loaded.bundle.manifest.calibration, evidence)
        console.evidence(evidence, loaded.bundle.manifest.calibration)


def _refuse_failures(model: Path, replayed: Sequence[Replayed], tol: float) -> None:
    """Raise a ModelError if an image cannot be measured here, or has another verdict than the one recorded."""
    from anomalib_lite.errors import ModelError

    unmeasured = [one for one in replayed if one.score is None]
    if unmeasured:
        raise ModelError(
            f"{model}: {len(unmeasured)} of {len(replayed)} self-checks cannot be measured here "
            f"({unmeasured[0].expected.file}: {unmeasured[0].error}). Do not use it on this machine before they can."
        )
    failed = [one for one in replayed if one.flipped]
    if failed:
        same_score = all(one.difference <= tol for one in failed)
        remedy = "its thresholds are other ones: restore it" if same_score else "compare onnxruntime's version"
        raise ModelError(
            f"{model}: {len(failed)} of {len(replayed)} self-checks give another verdict here "
            f"({failed[0].expected.file}): do not use it on this machine; {remedy}."
        )
