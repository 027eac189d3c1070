"""anomalib-lite plugins list | show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import plugins_check, plugins_new
from anomalib_lite.cli.help import Command, Group
from anomalib_lite.cli.options import OUTPUT
from anomalib_lite.cli.plugins_check import Name

if TYPE_CHECKING:
    from anomalib_lite.registry import Registry
    from anomalib_lite.registry.plugin import Provider

JsonSchema: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json-schema",
        help="Print a JSON Schema (draft-07) of its configuration files, for editors.",
        rich_help_panel=OUTPUT,
    ),
]

app = typer.Typer(
    cls=Group, help="List, explain, check and write plugins.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", cls=Command)
def list_plugins(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """List what plugins provide.

    A plugin that cannot be used is named with the reason.
    """
    from anomalib_lite import registry
    from anomalib_lite.cli import console

    found = registry.load()
    if json:
        console.json(_listed(found))
        return
    width = max(map(len, found.detectors), default=0)
    for name, info in sorted(found.detectors.items()):
        compares = ", compares with a golden image" if "reference" in info.inputs else ""
        console.out(f"{name:<{width}}  ({found.providers[name]}{compares})")
        console.paragraph(info.summary, indent=width + 2)
    for suffix in sorted(found.readers):
        console.out(f"reader   {suffix} ({found.readers[suffix].provider})")
    for name in sorted(found.writers):
        console.out(f"writer   {name} ({found.writer_providers[name]})")
    for problem in found.problems:
        console.out(f"problem  {problem}")
    for note in found.notes:
        console.out(f"note     {note}")
    if found.restriction is not None:
        console.out(f"loaded   only what {registry.PLUGINS_VARIABLE} names: '{found.restriction}'")
    if found.problems:
        console.out("help     update or uninstall what has a problem; its traceback: plugins show NAME --debug")


def _listed(found: Registry) -> dict[str, Any]:
    """What `plugins list` tells, as JSON."""

    def by(provider: Provider) -> dict[str, str]:
        return {"entry_point": provider.entry_point, "package": provider.package, "version": provider.version}

    return {
        "detectors": [
            {"name": name, "summary": info.summary, "inputs": list(info.inputs)} | by(found.providers[name])
            for name, info in sorted(found.detectors.items())
        ],
        "readers": [{"suffix": suffix} | by(found.readers[suffix].provider) for suffix in sorted(found.readers)],
        "writers": [
            {"name": name, "suffix": info.suffix} | by(found.writer_providers[name])
            for name, info in sorted(found.writers.items())
        ],
        "problems": [by(one.provider) | {"names": list(one.names), "reason": one.reason} for one in found.problems],
        "notes": [by(one.provider) | {"text": one.text} for one in found.notes],
        "restriction": found.restriction,
    }


@app.command(cls=Command)
def show(name: Name, json_schema: JsonSchema = False) -> None:
    """Explain a detector, a reader or a writer, and its settings.

    Says what it does, and type, default, limits and meaning of every setting. Of a detector it ends with a
    configuration file to begin with.
    """
    from anomalib_lite import registry
    from anomalib_lite.cli import console
    from anomalib_lite.registry import describing

    found = registry.load()
    if name.strip().replace("-", "_") not in found.detectors and not json_schema and _shown(name, found):
        return
    info = found.detector(name)
    info = registry.described(info, info.config())
    if json_schema:
        console.json(describing.json_schema(info))
        return
    console.out(f"{info.name}: {info.summary}")
    console.out(f"package  {found.providers[info.name]}")
    console.out(f"inputs   {', '.join(info.inputs)}" + (", aligned" if info.align else ""))
    console.out(f"paper    {info.paper or '-'}")
    console.out(f"weights  {info.weights or 'none are pretrained'}")
    if info.fit_on == "unlabelled":
        console.out("fit      on a mixed lot: unlabelled images; thresholds rest on good ones")
    if info.positional:
        console.out("places   the map depends on the place in the image: image.mode=tile is refused")
    for key, value in info.defaults.items():
        console.out(f"prefers  {key} = {value}")
    console.out("")
    console.out(f"options of {info.name}")
    console.options(describing.options_of(info))
    console.out("")
    console.out("options of the host")
    console.options(describing.options_of_host(info))
    console.out("")
    console.out(f"# example: anomalib-lite train {info.name} DATA --config FILE --out MODEL")
    console.text(describing.example(info))


def _shown(name: str, found: Registry) -> bool:
    """Explain a reader or a writer of this name; False where there is none."""
    from anomalib_lite.cli import console
    from anomalib_lite.registry import reader_name
    from anomalib_lite.registry.describing import describe_options

    writer, reader = found.writers.get(name.strip().replace("-", "_")), found.reader(name)
    if reader is not None:
        known = reader_name(reader)
        console.out(f"{known}: {reader.summary or 'reads further files'}")
        console.out(f"package  {found.readers[reader.suffixes[0]].provider}")
        also = ", and files whose names tell nothing" if reader.sniff else ""
        console.out(f"reads    {', '.join((*reader.suffixes, *reader.content_types))}{also}")
        if reader.gather:
            console.out("series   several files may be one image or one series")
        if reader.guards:
            console.out(f"guards   {', '.join(reader.guards)}: what differs from the training is ERROR;")
            console.out("         a size that is no whole number may lie a quarter beyond it")
        if reader.config:
            console.out("")
            console.out(f"options of {known}, which a model keeps")
            console.options(describe_options(reader.config, f"readers.{known}"))
    elif writer is not None:
        console.out(f"{writer.name}: {writer.summary}")
        console.out(f"package  {found.writer_providers[writer.name]}")
        console.out(f"writes   {writer.suffix}")
        console.out("")
        console.out(f"# example: anomalib-lite predict MODEL INPUT --out FOLDER --write {writer.name}")
    return reader is not None or writer is not None


app.command("check", cls=Command)(plugins_check.check)
app.command("new", cls=Command)(plugins_new.new)
