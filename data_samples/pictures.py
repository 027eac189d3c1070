"""Make the pictures of the README from the rendered parts: `python data_samples/pictures.py DEMO`.

DEMO is what `anomalib-lite demo --out DEMO` wrote. Of its defective parts the one is shown that stands out most among
those that are NG. The page of the report is photographed with Chromium; without it that picture stays as it is.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from anomalib_lite.edge import Model
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.report.heatmaps import write_heatmap

HERE = Path(__file__).resolve().parent
OUT = HERE / "pictures"
PAGE = (1200, 1500)  # pixels of the report that are shown: its top
MAX_BYTES = 300_000  # all pictures together


def main() -> None:
    """Write part.jpg, heatmap.jpg and report.jpg."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("demo", type=Path, help="what `anomalib-lite demo --out DEMO` wrote")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of the pictures")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    part = draw_part(Model(asked.demo / "model"), HERE / "part" / "test", asked.out)
    print(f"part     {part}")
    if draw_report(asked.demo / "evaluation" / "report.html", asked.out / "report.jpg"):
        print("report   its top")
    total = sum(file.stat().st_size for file in asked.out.iterdir())
    if total > MAX_BYTES:
        sys.exit(f"{asked.out}: {total:,} bytes, {MAX_BYTES:,} are allowed")


def draw_part(model: Model, tested: Path, out: Path) -> Path:
    """The part whose regions stand out most, and the same with heat map and outline; returns its file."""
    best: tuple[float, Path] | None = None
    for path in sorted(tested.glob("*/*.*")):
        result = model.inspect(path)
        if result.verdict is Verdict.NG and result.score is not None and path.parent.name != "good":
            best = max(best, (result.score, path)) if best else (result.score, path)
    if best is None:
        sys.exit(f"{tested}: no defective part is NG by this model: train it for longer")
    seen = model.look(best[1])
    assert seen.pixels is not None
    with TemporaryDirectory() as scratch:
        picture = Path(scratch) / "heatmap.png"
        write_heatmap(model, seen.result, seen.pixels, picture)
        for name, image in (("part", Image.fromarray(seen.pixels.squeeze())), ("heatmap", Image.open(picture))):
            image.convert("RGB").save(out / f"{name}.jpg", quality=88, optimize=True)
    return best[1]


def draw_report(page: Path, target: Path) -> bool:
    """Photograph the top of a report; False where there is no Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return False
    with TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        flags += [f"--user-data-dir={scratch}/profile", f"--window-size={PAGE[0]},{PAGE[1]}", f"--screenshot={shot}"]
        subprocess.run([browser, *flags, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
        image = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(target, quality=80, optimize=True)
    return True


if __name__ == "__main__":
    main()
