"""anomalib-lite bundle-set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import options

if TYPE_CHECKING:
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.model import Model

Models: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="At least two models, as MODEL or NAME=MODEL, such as bottle=model_7: the name is that of the product. "
        "Default: the name of the file.",
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Write the set to this folder, or to a file where the name ends in .zip.",
        rich_help_panel=options.OUTPUT,
    ),
]  # fmt: skip

Product: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where MODEL is a set of products, which one the images show. Default: what a column 'product' of a CSV "
        "file says, or the look of each image tells.",
        rich_help_panel=options.IMAGES,
    ),
]
OneProduct: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where MODEL is a set of products: which one the images show.",
        rich_help_panel=options.IMAGES,
    ),
]


def single(model: Path, product: str | None, **more: Any) -> Model | Joint:
    """A model or a joint one; of a set the model of the product that is named. Errors as of `modelset.load`."""
    from anomalib_lite.edge import joint, modelset

    if product is None:
        return joint.load(model, **more)
    found = modelset.load(model, product=product, **more)
    assert not isinstance(found, modelset.ModelSet)
    return found


def bundle_set(
    models: Models, out: Out, overwrite: options.Overwrite = False, threads: options.Threads = 0
) -> None:  # fmt: skip
    """Join models of many products into one set.

    The network that they share is stored and computed once; each product keeps its own thresholds, and its
    verdicts are those of its own model. `predict SET --product NAME` judges one product, `predict SET` tells by the
    look of an image which product it shows.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.bundle_set import bundle_set as run

    target = options.folder(out, zipped=True)
    given = [named_model(word) for word in models]
    made = run(given, target, overwrite=overwrite, threads=threads, plugins=console.plugins(), track=console.track)
    console.notes(made.notes)
    console.out(
        f"{len(made.bundle.records)} products, {made.after / 2**20:.1f} MB of graphs; single {made.before / 2**20:.1f}"
    )
    console.out(f"{made.compared} verdicts are those of the single models; largest difference of a score "
                f"{made.difference:.1e} of its tolerance")  # fmt: skip
    console.out(f"set     {target}  ({made.bundle.model_id})")


def named_model(word: str) -> tuple[str, Path]:
    """NAME=MODEL: the name, empty where there is none, and the model."""
    name, equals, path = word.partition("=")
    return (name, Path(path)) if equals and name and path and not Path(word).exists() else ("", Path(word))
