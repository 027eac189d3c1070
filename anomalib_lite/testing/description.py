"""Checks of what a plugin says before torch is imported, and of what its sources import."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module

import yaml
from pydantic import ValidationError

from anomalib_lite.registry.describing import describe_options
from anomalib_lite.testing.subject import Subject

PUBLIC_MODULES = ("config", "detector", "errors", "features", "hookspecs", "members", "synthesis", "testing")
HEAVY = ("torch", "torchvision", "lightning", "cv2", "scipy", "sklearn", "skimage", "albumentations", "onnx", "timm")


def check_the_entry_module_imports_no_torch(subject: Subject) -> None:
    """Listing plugins and `--help` must stay fast: the entry module and the options import nothing heavy."""
    modules = sorted({subject.module, subject.info.config.__module__})
    code = f"import sys, {', '.join(modules)}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"importing {', '.join(modules)} fails: {done.stderr.strip().splitlines()[-1:]}"
    found = done.stdout.split()
    assert not found, f"importing {', '.join(modules)} imports {', '.join(found)}: import it in the detector's module"


def check_the_description_is_complete(subject: Subject) -> None:
    """`plugins list` and `plugins show` need a name, a summary and preferences that the host knows."""
    info = subject.info
    assert re.fullmatch(r"[a-z][a-z0-9_]*", info.name), f"name '{info.name}': lower case, digits and underscores only"
    assert info.summary.strip(), "the summary is empty: say in one sentence what the detector does"
    assert len(info.summary) <= 200, "the summary has more than 200 characters: one sentence, the rest in the README"
    assert subject.config.detector == info.name  # refuses preferences that are no options of the host


def check_every_option_is_described(subject: Subject) -> None:
    """An option has a default and a sentence: a user starts without a file, and learns from `plugins show`."""
    for option in describe_options(subject.info.config):
        assert option.default != "required", f"option '{option.name}' has no default"
        assert option.meaning, f"option '{option.name}' has no description: put a docstring below it"


def check_options_survive_a_file(subject: Subject) -> None:
    """Options go to YAML and JSON and come back the same; one that is unknown is refused."""
    config = subject.info.config
    text = yaml.safe_dump(subject.options.model_dump(mode="json"))
    try:
        back = config.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise AssertionError(f"options that were written to a file are refused when read: {error}") from error
    assert back == subject.options, f"options come back from a file as {back!r}, not as {subject.options!r}"
    try:
        config.model_validate({"no_such_option": 1})
    except ValidationError:
        return
    raise AssertionError("an unknown option is accepted: derive the options from anomalib_lite.config.DetectorConfig")


def check_training_is_left_to_the_host(subject: Subject) -> None:
    """No source of the plugin imports Lightning: `run.minimise` is all that a detector knows of training."""
    for path in subject.sources():
        found = [name for name, _ in imported_by(path.read_text("utf-8")) if re.match(r"(pytorch_)?lightning\b", name)]
        assert not found, f"{path.name} imports {found[0]}: call run.minimise instead"


def check_only_public_names_are_imported(subject: Subject) -> None:
    """The API version covers `anomalib_lite` and its public modules; anything else may change in any release."""
    for path in subject.sources():
        for module, name in imported_by(path.read_text("utf-8")):
            assert is_public(module, name), (
                f"{path.name} imports {name or module} from the host's private part ({module}): "
                f"use what anomalib_lite or its modules {', '.join(PUBLIC_MODULES)} offer"
            )


def is_public(module: str, name: str = "") -> bool:
    """Whether a plugin may write `import module`, or `from module import name`; True for what is not the host's."""
    if module != "anomalib_lite" and not module.startswith("anomalib_lite."):
        return True
    rest = module.split(".")[1:] or [name] if name else module.split(".")[1:]
    if not rest or rest[0] in PUBLIC_MODULES:
        return True
    return module == "anomalib_lite" and name in import_module("anomalib_lite").__all__


def imported_by(source: str) -> list[tuple[str, str]]:
    """(module, name) of every import of a file, at any depth; the name is "" for `import module`."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node.module, alias.name) for alias in node.names]
    return found
