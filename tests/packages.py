"""Small plugin packages for tests, installed as pip installs them: a folder with modules and their dist-info."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

GOOD = """
    from anomalib_lite.config import DetectorConfig
    from anomalib_lite.hookspecs import DetectorInfo, hookimpl

    @hookimpl
    def register_detectors():
        return [DetectorInfo(name="{name}", summary="A test.", target="{module}.detector:Darkness",
                             config=DetectorConfig, api=2)]
"""
DETECTOR = """
    from anomalib_lite.detector import Detector

    class Darkness(Detector):
        def forward(self, image, reference=None):
            return 1 - image.mean(1, keepdim=True)
"""


def write_package(
    site: Path, name: str, entry: str, *, version: str = "1.0", modules: dict[str, str] | None = None
) -> None:
    """Install a package with the entry module `entry` into the folder `site`.

    Args:
        site: A folder that is, or will be, on sys.path.
        name: Of the distribution; its module and its entry point have underscores for hyphens.
        entry: Source of the entry module; {name} in it is the entry point, {module} the module.
        version: Of the distribution.
        modules: Names and sources of further modules.
    """
    module = name.replace("-", "_")
    sources = {"__init__": entry} | (modules or {})
    for file, source in sources.items():
        path = site / module / f"{file}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source).replace("{name}", module).replace("{module}", module), encoding="utf-8")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[anomalib_lite]\n{module} = {module}\n", encoding="utf-8")


def run(site: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the packages of `site`."""
    inherited = {key: value for key, value in os.environ.items() if key != "ANOMALIB_LITE_PLUGINS"}
    return subprocess.run(
        [sys.executable, "-m", "anomalib_lite", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=inherited | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"} | environment,
    )
