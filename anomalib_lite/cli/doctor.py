"""anomalib-lite doctor."""

from __future__ import annotations

from anomalib_lite.cli import console


def doctor() -> None:
    """Say what is installed, and what works on this machine.

    Names what is missing, and how to install it. Nothing is changed.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from anomalib_lite import registry
    from anomalib_lite.version import __version__

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "-"

    console.out(f"anomalib-lite {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for title, packages, extra in (
        ("device", ("numpy", "pillow", "onnxruntime"), None),
        ("training", ("torch", "torchvision", "lightning", "onnx", "onnxscript", "safetensors"), "train"),
        ("reference images", ("opencv-python-headless",), "reference"),
        ("service", ("fastapi", "uvicorn"), "serve"),
    ):
        console.out(f"{title:<18}" + "  ".join(f"{name} {installed(name)}" for name in packages))
        missing = [name for name in packages if installed(name) == "-"]
        if missing and extra:
            console.out(f"{'':<18}missing {', '.join(missing)}: pip install 'anomalib-lite[{extra}]'")
    console.out(f"{'providers':<18}{_providers()}")
    if installed("torch") != "-":
        console.out(f"{'accelerator':<18}{_accelerator()}")
    found = registry.load()
    console.out(f"{'detectors':<18}{', '.join(sorted(found.detectors)) or 'none'}")
    console.out(f"{'readers':<18}{', '.join(sorted(found.readers)) or 'none'}")
    for title, remarks in (("problem", found.problems), ("note", found.notes)):
        for remark in remarks:
            console.out(f"{title:<18}{remark}")


def _providers() -> str:
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime does not work: {error}. Install it: pip install --upgrade onnxruntime"
    return ", ".join(onnxruntime.get_available_providers())


def _accelerator() -> str:
    try:
        import torch
        import torchvision  # type: ignore[import-untyped]  # noqa: F401 - a pair that does not match fails here
    except (ImportError, RuntimeError) as error:
        return f"torch does not work: {error}. Install a matching pair: pip install --upgrade torch torchvision"
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else "none, training runs on the processor"
