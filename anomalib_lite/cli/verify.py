"""anomalib-lite verify."""

from __future__ import annotations

from anomalib_lite.cli import options


def verify(model: options.Model, provider: options.Provider = "cpu", threads: options.Threads = 0) -> None:
    """Check that a model gives the same verdicts on this machine.

    Compares with the machine that trained it, image by image. Exits with 4 where the model is damaged, or a verdict
    differs.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.selfcheck import replay
    from anomalib_lite.errors import ModelError

    loaded = Model(model, provider=provider, threads=threads, readers=console.plugins().readers)
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
    unmeasured = [one for one in replayed if one.score is None]
    if unmeasured:
        raise ModelError(
            f"{model}: {len(unmeasured)} of {len(replayed)} self-checks cannot be measured here "
            f"({unmeasured[0].expected.file}: {unmeasured[0].error}). Do not use it on this machine before they can."
        )
    failed = [one for one in replayed if one.flipped]
    if failed:
        raise ModelError(
            f"{model}: {len(failed)} of {len(replayed)} self-checks give another verdict here "
            f"({failed[0].expected.file}): do not use it on this machine. Compare onnxruntime's version and provider."
        )
    console.out(f"{len(replayed)} of {len(replayed)} verdicts are the same  ({loaded.model_id})")
