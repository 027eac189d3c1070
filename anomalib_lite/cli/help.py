"""How `--help` reads: options under headings, types in words, examples last. Plain text, which needs no rich."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any, get_type_hints

from typer.core import TyperCommand, TyperGroup

from anomalib_lite.errors import ConfigError

SHARED = "Options of every command"
EXAMPLES = Path(__file__).with_name("examples.txt")
ALONE = {  # may stand without a value: what it is then, and what a value looks like
    "--heatmaps": ("all", r"ng|review|all"),
    "--ray": ("auto", r"auto|local|(ray://)?[^\s/\\]+:\d+"),
}
HELP = (SHARED, "-h, --help", "Show this message and exit.")


def examples(command: str) -> list[str]:
    """The examples of a command such as "plugins new": what it is for, as a comment, and the line to type."""
    blocks = EXAMPLES.read_text(encoding="utf-8").strip().split("\n\n")
    return [block for block in blocks if f"{block} ".partition("\nanomalib-lite ")[2].startswith(f"{command} ")]


class Command(TyperCommand):
    """A command whose help names the arguments in full, groups the options, and ends with examples."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; options that may stand alone get the value that they have then.

        Raises:
            ConfigError: An address stands where a path is expected: it would be the path of a folder called 's3:'.
        """
        rest = super().parse_args(ctx, list(_with_values(args)))
        if any("://" in word for word in args):
            hints = get_type_hints(self.callback)
            for one in self.params:
                if "Path" in str(hints[one.name or ""]):
                    _refuse_address(one, ctx.params[one.name or ""], args)
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the command: arguments, and options that cannot be left out."""
        options = [_named(one) for one in self.params if one.param_type_name == "option" and one.required]
        return ["[OPTIONS]", *(_argument(one) for one in self.params if one.param_type_name == "argument"), *options]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, and options under their headings."""
        _write(formatter, _rows(self, ctx))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, to be copied: not wrapped."""
        command = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        formatter.write("\nExamples:\n")
        formatter.write("\n".join(f"  {line}".rstrip() for line in "\n\n".join(examples(command)).splitlines()) + "\n")


class Group(TyperGroup):
    """Commands under headings, each with its first sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; typer imports pydantic for flags that are neither true nor false, which help would wait for."""
        for one in self.get_params(ctx):
            if getattr(one, "is_flag", False) and one.default is None:
                one.default = False
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands first, then options."""
        commands = [self.commands[name] for name in self.list_commands(ctx)]
        room = formatter.width - 6 - max(len(one.name or "") for one in commands)
        _write(formatter, [(_heading(one), one.name or "", one.get_short_help_str(room)) for one in commands])
        _write(formatter, _rows(self, ctx))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The lines as they are."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


def _refuse_address(one: Any, value: Any, words: list[str]) -> None:
    """Raise where what was typed for a path is an address.

    Args:
        one: The parameter.
        value: What it got, which may be a path already: of one slash less.
        words: What was typed.
    """
    from anomalib_lite.data.addresses import is_address

    got = {Path(one) for one in (value if isinstance(value, (list, tuple)) else [value]) if one is not None}
    typed = (word.partition("=")[2] if word.startswith("-") else word for word in words)
    for word in typed:
        if is_address(word) and Path(word) in got:
            raise ConfigError(
                f"{_named(one).partition(' ')[0]} {word}: no address can be given here. `predict` takes those of "
                "images, and writes to one with --out; `merge` takes that. Give a path of this machine."
            )


def _with_values(words: list[str]) -> Iterator[str]:
    """What was typed, with values for options of `ALONE` that have none: what follows one may be an argument."""
    for word, following in pairwise([*words, ""]):
        value, choices = ALONE.get(word, ("", ""))
        yield f"{word}={value}" if value and not re.fullmatch(choices, following, re.IGNORECASE) else word


def _heading(one: Any) -> str:
    """The heading that an argument, an option or a command stands under."""
    if getattr(one, "param_type_name", "") == "argument":
        return "Arguments"
    kind = "Options" if hasattr(one, "param_type_name") else "Commands"
    return getattr(one, "rich_help_panel", None) or kind


def _argument(one: Any) -> str:
    """MODEL, INPUT... where there may be several, [IMAGE] where it may be left out."""
    name = one.metavar + ("..." if one.nargs != 1 else "")
    return name if one.required else f"[{name}]"


def _named(one: Any) -> str:
    """An argument's name, or an option's with what it takes: `--out FOLDER`."""
    if one.param_type_name == "argument":
        return str(one.metavar)
    names = ", ".join(one.opts)
    return names if one.is_flag else f"{names} {one.metavar}"


def _rows(command: Any, ctx: Any) -> list[tuple[str, str, str]]:
    """Of a command's help: its own parameters, and last the options that every command takes."""
    own = [one for one in command.params if _heading(one) != SHARED]
    common = [one for one in ctx.find_root().command.params if _heading(one) == SHARED]
    return [*map(_row, [*own, *common]), HELP]


def _row(one: Any) -> tuple[str, str, str]:
    """Heading, name and meaning of an argument or an option; the default where a value states it."""
    remark = ""
    if one.param_type_name == "option" and one.required:
        remark = " Required."
    elif one.show_default and one.default is not None and not getattr(one, "is_flag", False):
        remark = f" Default: {one.default}."
    return _heading(one), _named(one), f"{one.help}{remark}"


def _write(formatter: Any, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write rows of heading, name and meaning: a section for each heading, all with columns of the same width."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, name, meaning in rows:
        sections.setdefault(heading, []).append((name, meaning))
    width = max((len(name) for section in sections.values() for name, _ in section), default=0)
    for heading, section in sections.items():
        formatter.write(f"\n{heading}:\n")
        for name, meaning in section:
            first, below = f"  {name:<{width}}  ", " " * (width + 4)
            text = fill(meaning, formatter.width, initial_indent=first, subsequent_indent=below, break_on_hyphens=False)
            formatter.write(f"{text}\n")
