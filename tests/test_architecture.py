"""The rules of the layout: what may import what, and where a threshold may be compared."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOST = ROOT / "anomalib_lite"
PLUGINS = ROOT / "plugins"


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth; `from a import b` gives "a.b" too."""
    return {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in imported_by(node)}


def imported_by(node: ast.AST) -> set[str]:
    """What one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def relative(paths: Iterator[Path] | list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_the_device_needs_only_what_a_device_has() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "PIL", "onnxruntime", "anomalib_lite"}
    for path in sources(HOST / "edge"):
        lazily = {"views.py": {"cv2"}, "signing.py": {"cryptography"}}.get(path.name, set())
        assert tops(path) - allowed <= lazily, path
        at_once = {name for node in ast.parse(path.read_text("utf-8")).body for name in imported_by(node)}
        assert not at_once & lazily, f"{path} imports {lazily} before anybody asks for it"
        own = {name for name in imports(path) if name.startswith("anomalib_lite")}
        strangers = {name for name in own if not re.match(r"anomalib_lite(\.edge|\.errors)", name)} - {"anomalib_lite"}
        assert not strangers, f"{path} imports {strangers}"


def test_only_training_imports_lightning() -> None:
    found = {path for path in sources(HOST) if tops(path) & {"lightning", "pytorch_lightning"}}
    assert found, "nothing imports Lightning: this test looks at the wrong names"
    assert all("training" in path.relative_to(HOST).parts[0] for path in found), relative(sorted(found))


def test_only_features_imports_timm() -> None:
    found = {path for path in sources(HOST) if "timm" in tops(path)}
    assert found
    assert all(path.is_relative_to(HOST / "features") for path in found), relative(sorted(found))


def test_what_runs_after_training_imports_no_torch() -> None:
    """Found by running: every module that the torch-free commands use."""
    modules = """
        pipeline.train pipeline.predict pipeline.evaluate pipeline.calibrate pipeline.export pipeline.bench
        report.writing registry config edge.watch
        cli.demo cli.predict cli.evaluate cli.calibrate cli.verify cli.export cli.bench cli.watch
    """
    names = [f"anomalib_lite.{name}" for name in modules.split()]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for package in ("torch", "lightning", "onnx", "cv2", "scipy", "sklearn", "skimage", "albumentations", "timm"):
        assert f"'{package}'" not in loaded


def test_the_host_names_no_plugin() -> None:
    names = [folder.name for folder in PLUGINS.iterdir() if (folder / "__init__.py").is_file()]
    assert names
    short = {name.removeprefix("anomalib_lite_") for name in names}
    for path in sources(HOST):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path
        assert not [name for name in short if re.search(rf"[\"']{name}[\"']", text)], path


def test_entry_modules_of_plugins_import_no_torch() -> None:
    for folder in sorted(PLUGINS.iterdir()):
        if (folder / "__init__.py").is_file():
            code = f"import sys, {folder.name}; sys.exit('torch' in sys.modules)"
            subprocess.run([sys.executable, "-c", code], check=True)


def compared(node: ast.Compare) -> bool:
    """Whether a comparison orders something whose name speaks of a threshold."""
    if not any(isinstance(operator, (ast.Lt, ast.Gt, ast.LtE, ast.GtE)) for operator in node.ops):
        return False
    counted = {id(one) for call in ast.walk(node) if isinstance(call, ast.Call) for one in ast.walk(call)}
    inside = [one for one in ast.walk(node) if id(one) not in counted]
    names = {one.id for one in inside if isinstance(one, ast.Name)}
    names |= {one.attr for one in inside if isinstance(one, ast.Attribute)}
    return bool(names & {"threshold", "thresholds", "reject", "review", "map_reject", "map_review", "limit_score"})


def test_a_threshold_is_compared_in_one_place() -> None:
    # Two thresholds may be compared with each other: that is no verdict.
    between_thresholds = {
        "has_review_band",
        "_setters",
        "is_sound",
        "_review_includes_reject",
        "__post_init__",
        "_review",
    }
    for path in sources(HOST):
        if path == HOST / "edge" / "decision.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            found = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Compare) and compared(node)]
            assert not found or function.name in between_thresholds, f"{path}:{found} in {function.name}"


@pytest.mark.parametrize("folder", [HOST, PLUGINS], ids=["host", "plugins"])
def test_nothing_executes_what_it_reads(folder: Path) -> None:
    for path in sources(folder):
        assert not tops(path) & {"pickle", "cloudpickle", "joblib", "dill", "marshal"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"eval", "exec", "yaml.load"}, f"{path}:{node.lineno}"
                if name == "torch.load":
                    assert any(key.arg == "weights_only" for key in node.keywords), f"{path}:{node.lineno}"


def test_every_module_says_first_what_is_in_it() -> None:
    for path in [*sources(HOST), *sources(PLUGINS)]:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_commands_print_through_the_console() -> None:
    """Which quotes names that a stranger chose."""
    for path in sources(HOST / "cli"):
        text = path.read_text("utf-8")
        assert path.name == "console.py" or not re.search(r"typer\.s?echo\(|\bprint\(|sys\.std(out|err)", text), path


def test_only_the_command_line_exits_or_prints() -> None:
    for path in sources(HOST):
        if path.is_relative_to(HOST / "cli"):
            continue
        calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)}
        assert not calls & {"print", "sys.exit", "exit", "os._exit"}, path


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in sources(HOST)}
FACADES = ("anomalib_lite", "anomalib_lite.edge")  # their names are loaded when they are used


def own_imports(name: str) -> set[str]:
    """Modules of the host that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= named & MODULES.keys()
            if named - MODULES.keys():
                found.add(node.module)
    return found - {name}


IMPORTS = {name: own_imports(name) for name in MODULES if name not in FACADES}


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Every set of nodes that reach each other."""
    reach = {name: set(following) for name, following in imports.items()}
    for middle in reach:
        for first in reach:
            if middle in reach[first]:
                reach[first] |= reach[middle]
    tied = {name: sorted(other for other in reach[name] if name in reach.get(other, ())) for name in reach}
    return sorted(list(one) for one in {tuple(names) for name, names in tied.items() if name in names})


def test_modules_do_not_import_in_circles() -> None:
    assert not circles(IMPORTS)


def folder_of(name: str) -> str:
    """The row of ARCHITECTURE.md that a module belongs to; "" for the package itself."""
    parts = [*name.split(".")[1:], *(["__init__"] if MODULES[name].name == "__init__.py" else [])]
    if parts[0] == "edge" and len(parts) > 2:
        return "/".join(parts[:2])
    return "" if parts[0].startswith("__") else parts[0]


def documented() -> dict[str, set[str]]:
    """Folder -> what it may import, as ARCHITECTURE.md says."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("\n## Folders")[2].partition("\n## Words")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    allowed: dict[str, set[str]] = {}
    for name, _, imported in rows:
        allowed.setdefault(name.strip("`"), set()).update(re.findall(r"`([\w/]+)`", imported))
    return allowed


def between_folders() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, imported in IMPORTS.items():
        here = folder_of(name)
        others = found.setdefault(here, set())
        for one in imported:
            there = folder_of(one)
            inside = here.startswith("edge") and there.startswith("edge")
            others.add(there if inside else there.partition("/")[0])
        others.discard(here)
    return found


def test_folders_import_what_the_document_says_and_nothing_else() -> None:
    allowed = documented()
    for folder, imported in between_folders().items():
        if not folder:
            continue
        assert folder in allowed, f"ARCHITECTURE.md has no row for {folder}"
        mine = allowed[folder] | (allowed["edge"] & {"errors"} if folder.startswith("edge/") else set())
        assert imported <= mine, f"{folder} imports {sorted(imported - mine)}, which ARCHITECTURE.md does not name"
        idle = allowed[folder] - imported - ({"errors"} if folder.startswith("edge") else set())
        assert not idle, f"ARCHITECTURE.md lets {folder} import {sorted(idle)}, and it does not"


def test_every_folder_of_the_document_is_there() -> None:
    there = {folder_of(name) for name in MODULES} - {""}
    assert set(documented()) == there


def test_folders_do_not_import_in_circles() -> None:
    found = between_folders()
    found["edge/bundle"].discard("edge")  # of which it imports what imports nothing else
    below = {f"anomalib_lite.edge.{name}" for name in ("disk", "locks", "quoting")}
    assert {one for name in IMPORTS if folder_of(name) == "edge/bundle" for one in IMPORTS[name]
            if folder_of(one) == "edge"} <= below  # fmt: skip
    assert not set().union(*(IMPORTS[name] for name in below)) - below
    assert not circles(found)


def test_modules_and_functions_are_short() -> None:
    long = [
        f"{path}: {lines} lines" for path in MODULES.values() if (lines := path.read_text("utf-8").count("\n")) > 300
    ]
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 45:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert not long
