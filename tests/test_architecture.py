"""The rules of the layout: what may import what, and where a threshold may be compared."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOST = ROOT / "anomalib_lite"
PLUGINS = ROOT / "plugins"


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth; `from a import b` gives "a.b" too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def relative(paths: Iterator[Path] | list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_the_device_needs_only_what_a_device_has() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "PIL", "onnxruntime", "anomalib_lite"}
    for path in sources(HOST / "edge"):
        assert tops(path) - allowed <= ({"cv2"} if path.name == "views.py" else set()), path
        own = {name for name in imports(path) if name.startswith("anomalib_lite")}
        strangers = {name for name in own if not re.match(r"anomalib_lite(\.edge|\.errors)", name)} - {"anomalib_lite"}
        assert not strangers, f"{path} imports {strangers}"


def test_only_training_imports_lightning() -> None:
    found = {path for path in sources(HOST) if tops(path) & {"lightning", "pytorch_lightning"}}
    assert found, "nothing imports Lightning: this test looks at the wrong names"
    assert all("training" in path.relative_to(HOST).parts[0] for path in found), relative(sorted(found))


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
    for package in ("torch", "lightning", "onnx", "cv2", "scipy", "sklearn", "skimage", "albumentations"):
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
    between_thresholds = {"has_review_band", "_setters", "is_sound", "_review_includes_reject", "__post_init__"}
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


def test_only_the_command_line_exits_or_prints() -> None:
    for path in sources(HOST):
        if path.is_relative_to(HOST / "cli"):
            continue
        calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)}
        assert not calls & {"print", "sys.exit", "exit", "os._exit"}, path
