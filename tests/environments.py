"""Wheels, and fresh virtual environments to try them in as users would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str


class Environment:
    """A virtual environment in `folder`. Nothing of the checkout, and nothing of the running test, reaches into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self._copy_pip()

    def _copy_pip(self) -> None:
        """The pip that runs here, instead of a new one: `ensurepip` takes longer than anything that a test does."""
        own = distribution("pip")
        for name in {file.parts[0] for file in own.files or () if file.parts[0].startswith("pip")}:
            shutil.copytree(Path(str(own.locate_file(name))), self.site_packages / name)
        script = self.bin / "pip"
        script.write_text(f"#!{self.bin / 'python'}\nfrom pip import main\nraise SystemExit(main())\n")
        script.chmod(0o755)

    @property
    def site_packages(self) -> Path:
        """Where its own packages are."""
        return next(self.folder.rglob("site-packages"))

    def variables(self) -> dict[str, str]:
        """The environment variables of a shell in which it is activated."""
        ours = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "ANOMALIB_LITE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"VIRTUAL_ENV": str(self.folder), "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def install(self, *arguments: str | Path) -> None:
        """`pip install`."""
        self.run("python", "-m", "pip", "install", "--quiet", *arguments)

    def lend(self) -> None:
        """Lend it torch and what lies beside it here, too heavy to install again. Its own packages come first."""
        torch = find_spec("torch")
        assert torch is not None
        assert torch.origin is not None
        (self.site_packages / "lent.pth").write_text(str(Path(torch.origin).parents[1]) + "\n")

    def run(self, *command: str | Path, cwd: Path | None = None, code: int = 0) -> Done:
        """Run a command, its own programs first, and expect an exit code."""
        program = str(command[0])
        words = [str(self.bin / program) if (self.bin / program).exists() else program, *map(str, command[1:])]
        done = subprocess.run(words, capture_output=True, text=True, cwd=cwd or self.folder, env=self.variables())
        assert done.returncode == code, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)


def build_wheel(source: Path, out: Path) -> Path:
    """The wheel of a source tree, as it would be published."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True)
    return next(out.glob("*.whl"))
