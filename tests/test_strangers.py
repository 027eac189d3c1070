"""A DICOM reader and a writer of strangers, written from the public documents, through every command and a device."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import call, picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from anomalib_lite import registry
from anomalib_lite.data import find
from anomalib_lite.edge import Model, Reader
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import PROJECT
from anomalib_lite.registry import loading

STRANGERS = Path(__file__).parent / "strangers"
WINDOW = ["--set", "image.black=-160", "--set", "image.white=240"]
SIZE = ["--set", "image.height=48", "--set", "image.width=48"]


def slice_(
    path: Path, seed: int, uid: str, number: int, *, patient: str, modality: str = "CT", bad: bool = False
) -> Path:
    """A slice of a series: 80 to 160 grey levels of `picture` as Hounsfield units."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    pixels = picture(seed, defect=bad)[..., 0].astype(np.int16) - 80 + 1024
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = CTImageStorage, generate_uid(), uid
    made.PatientName, made.PatientID, made.Modality = f"Doe^{patient}", patient, modality
    made.StudyInstanceUID, made.InstanceNumber = f"{uid}.1", number
    made.Rows, made.Columns = pixels.shape
    made.PixelSpacing, made.RescaleSlope, made.RescaleIntercept = [0.7, 0.8], 1, -1024
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.PixelData = pixels.tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """Both packages, for this process."""
    there = loading._entry_points
    points = [EntryPoint(name, name, PROJECT) for name in ("acme_dicom", "acme_findings", "acme_fusion")]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STRANGERS))
        patch.setattr(loading, "_entry_points", lambda: [*there(), *points])
        yield


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 good series of 3 slices, a folder for each; one with a defect in its third slice; one of another modality."""
    root = tmp_path_factory.mktemp("scans")
    for patient in range(20):
        for number in (1, 2, 3):
            name = f"IM{number}" if patient % 2 else f"{number:04}.dcm"
            seed = 10 * patient + number
            slice_(root / f"good/p{patient}" / name, seed, f"1.2.{patient}", number, patient=f"ID-{patient}")
    for number in (1, 2, 3):
        slice_(root / f"bad/{number}.dcm", 500 + number, "1.9.1", number, patient="X", bad=number == 3)
        slice_(root / f"mr/{number}.dcm", 600 + number, "1.8.1", number, patient="Y", modality="MR")
    return root


@pytest.fixture(scope="module")
def model(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dicom") / "model"
    assert (
        call("train", "gauss", scans / "good", "--all-good", "--out", out, "--max-false-reject", "25%", *WINDOW, *SIZE)
        == 0
    )
    return out


def opener() -> Opener:
    return Opener(registry.load().readers)


def test_they_are_short() -> None:
    lines = {
        folder.name: sum(len(path.read_text().splitlines()) for path in folder.glob("*.py"))
        for folder in STRANGERS.iterdir()
    }
    assert lines["acme_dicom"] <= 60
    assert lines["acme_findings"] <= 40


def test_series_become_slices_and_patients_parts(scans: Path) -> None:
    dataset = find(scans / "bad", opener=opener())
    assert [one.name for one in dataset.samples] == ["1.9.1.dcm#1", "1.9.1.dcm#2", "1.9.1.dcm#3"]
    assert {one.group for one in dataset.samples} == {"X"}
    found = dataset.opener.read(dataset.samples[2].path)
    assert (str(found.pixels.dtype), found.spacing, found.meta["modality"]) == ("int16", (0.7, 0.8), "CT")
    assert found.pixels.min() == -70


def test_files_without_a_suffix_are_found_too(scans: Path) -> None:
    dataset = find(scans / "good/p1", opener=opener())
    assert [one.name for one in dataset.samples] == ["1.2.1.dcm#1", "1.2.1.dcm#2", "1.2.1.dcm#3"]
    again = opener().read(scans / "good/p1/1.2.1.dcm#3")  # by its name alone
    assert again.sha256 == dataset.opener.read(dataset.samples[2].path).sha256


def test_documents_are_passed_over(scans: Path, tmp_path: Path) -> None:
    slice_(tmp_path / "1.dcm", 1, "1.3", 1, patient="A")
    document = pydicom.dcmread(slice_(tmp_path / "report.dcm", 1, "1.4", 1, patient="A", modality="SR"))
    del document.PixelData
    document.save_as(tmp_path / "report.dcm")
    dataset = find(tmp_path, opener=opener())
    assert [one.name for one in dataset.samples] == ["1.dcm#1"]
    assert dataset.notes[0] == "1 file passed over, no images: .dcm 1 (report.dcm)"


def test_from_series_to_verdicts_and_findings(model: Path, scans: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert call("predict", model, scans / "bad", "--out", out, "--heatmaps", "all", "--write", "findings") == 0
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [row["verdict"] == "NG" for row in rows] == [False, False, True]
    assert rows[2]["image"] == str(scans / "bad/1.9.1.dcm#3")
    assert rows[2]["written"] == "findings/1.9.1.dcm#3.npz"
    with np.load(out / rows[2]["written"]) as found:
        assert found["map"].shape == (48, 48)
        assert found["map"].max() > 1
        assert found["spacing"].tolist() == [0.7, 0.8]
        said = json.loads(str(found["said"]))
    assert (said["verdict"], said["study"], len(said["regions"])) == ("NG", "1.9.1.1", len(rows[2]["regions"]))
    assert call("predict", model, scans / "bad", "--out", out, "--overwrite") == 0
    assert not (out / "findings").exists()


def test_another_modality_is_an_error_of_its_own(model: Path, scans: Path) -> None:
    loaded = Model(model, readers=registry.load().readers)
    result = loaded.inspect(scans / "mr/1.8.1.dcm#1")
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "wrong_meta")
    assert "modality 'CT', this one says 'MR'" in str(result.error)
    np.save(scans / "plain.npy", picture(1).astype(np.int16))
    plain = Model(model, readers={".npy": np.load}).inspect(scans / "plain.npy")
    assert plain.error_code == "wrong_meta"
    assert "says nothing of it" in str(plain.error)
    assert loaded.inspect(picture(1).astype(np.int16) - 80).score is not None  # whose file nobody has


def test_manifest_keeps_options_and_guards_and_older_hosts_refuse_it(model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["guards"] == {"modality": ["CT"]}
    assert [one["options"] for one in manifest["readers"]] == [{"rescale": True}]
    assert manifest["schema_version"] == 3  # it has a gate, too
    assert manifest["image"]["black"] == -160


def test_on_a_device_the_reader_gets_the_options_of_the_model(model: Path, scans: Path) -> None:
    """Nothing of the plugin machinery is there."""
    code = (
        "import sys, json\nfrom anomalib_lite.edge import Model, Reader\nfrom acme_dicom.reading import gather, read\n"
        f"model = Model({str(model)!r}, readers={{'.dcm': Reader(read=read, gather=gather)}})\n"
        "print(json.dumps([[one.verdict, one.score] for one in map(model.inspect, sys.argv[1:])]))\n"
    )
    paths = [f"{scans / 'bad/1.9.1.dcm'}#{number}" for number in (1, 2, 3)]
    environment = {"PYTHONPATH": f"{STRANGERS}:{STRANGERS.parents[1]}"}
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    here = Model(model, readers=registry.load().readers)
    assert json.loads(done.stdout) == [[one.verdict, one.score] for one in map(here.inspect, paths)]


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (
            Reader(read=lambda file, options: None, options={"rescale": False}),
            "rescale=True, this reader has rescale=False",
        ),
        (Reader(read=lambda file, options: None, options={}), "this reader has "),
        (lambda file: None, "this reader has no options"),
        (Reader(read=lambda file, options: None, options={"window": 3}, preset=True), "this reader has window=3"),
    ],
)
def test_a_reader_of_other_options_is_refused(model: Path, reader: Any, said: str) -> None:
    with pytest.raises(ConfigError, match="would be measured otherwise") as caught:
        Model(model, readers={".dcm": reader})
    assert said in str(caught.value)


def test_a_reader_that_got_an_option_since_goes_on_with_its_default(model: Path) -> None:
    reader = Reader(read=lambda file, options: None, options={"rescale": False, "suv": False}, preset=True)
    read = Model(model, readers={".dcm": reader}).intake.opener.readers[".dcm"]
    assert isinstance(read, Reader)
    assert read.options == {"rescale": True, "suv": False}


def test_options_are_set_by_the_name_of_the_reader(scans: Path, tmp_path: Path, capsys: Any) -> None:
    words: list[str | Path] = [
        "train",
        "gauss",
        scans / "good",
        "--all-good",
        "--out",
        tmp_path / "m",
        "--max-false-reject",
        "25%",
        *SIZE,
    ]
    window = ["--set", "image.black=864", "--set", "image.white=1264"]
    assert call(*words, *window, "--set", "readers.dicom.rescale=false") == 0
    manifest = json.loads((tmp_path / "m/manifest.json").read_text())
    assert [one["options"] for one in manifest["readers"]] == [{"rescale": False}]
    capsys.readouterr()
    assert call("predict", tmp_path / "m", scans / "bad", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[2]["verdict"] == "NG"
    for wrong, message in (
        ("readers.dicom.rescal=false", "rescale"),
        ("readers.dicom.rescale=often", "readers.dicom.rescale"),
        ("readers.dicon.rescale=false", "no reader of this name takes options. Did you mean 'dicom'?"),
    ):
        assert call("train", "gauss", scans / "good", "--out", tmp_path / "n", "--set", wrong) == 2
        assert message in capsys.readouterr().err


def test_nothing_of_a_patient_is_exported(model: Path, tmp_path: Path) -> None:
    assert call("export", model, "--out", tmp_path / "device") == 0
    loaded = Model(tmp_path / "device")
    assert not any(one.flipped or one.score is None for one in replay(loaded))
    content = b"".join(path.read_bytes() for path in (tmp_path / "device").rglob("*") if path.is_file())
    assert b"Doe" not in content
    assert b"ID-" not in content
    assert {Path(name).suffix for name in loaded.bundle.manifest.files} == {".onnx", ".npy"}
    assert call("verify", tmp_path / "device") == 0


@pytest.mark.parametrize(
    ("body", "exit_code", "said"),
    [
        ("raise ValueError('no room in the tag')", 5, "writer 'findings': "),
        ("pass", 5, "wrote no file"),
        ("raise OSError(28, 'No space left on device')", 3, "No space left on device"),
    ],
)
def test_writers_that_fail_say_where(
    body: str, exit_code: int, said: str, model: Path, scans: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    space: dict[str, Callable[..., Any]] = {}
    exec(f"def write(path, result, picture, anomaly_map):\n    {body}", space)
    monkeypatch.setattr(importlib.import_module("acme_findings"), "write", space["write"])
    assert call("predict", model, scans / "bad", "--out", tmp_path / "out", "--write", "findings") == exit_code
    error = capsys.readouterr().err
    assert said in error
    assert "1.9.1.dcm#1" in error
    assert "Traceback" not in error


def test_a_writer_needs_a_folder_and_to_be_there(model: Path, scans: Path, tmp_path: Path, capsys: Any) -> None:
    assert call("predict", model, scans / "bad", "--write", "findings") == 2
    assert "--write findings needs a folder" in capsys.readouterr().err
    assert call("predict", model, scans / "bad", "--write", "finding", "--out", tmp_path / "out") == 5
    assert "Did you mean 'findings'?" in capsys.readouterr().err


# ---- the kit, the explanations, the service


def test_the_kit_knows_both(scans: Path, capsys: Any) -> None:
    files = sorted((scans / "bad").iterdir())
    assert call("plugins", "check", "dicom", *files) == 0
    assert "'dicom' keeps all 9 rules" in capsys.readouterr().out
    assert call("plugins", "check", "findings") == 0
    assert call("plugins", "check", "dicom") == 2
    assert "give files of its type" in capsys.readouterr().err
    assert call("plugins", "check", "gauss", files[0]) == 2
    assert call("plugins", "check", "dicom", *files, "--steps", "3") == 2


def test_plugins_show_and_list_tell_of_both(capsys: Any) -> None:
    assert call("plugins", "show", "dicom") == 0
    said = capsys.readouterr().out
    for word in (".dcm", "guards   modality", "readers.dicom.rescale = true", "Units of the modality", "series"):
        assert word in said
    assert call("plugins", "show", ".dcm") == 0
    assert call("plugins", "show", "findings") == 0
    assert "--write findings" in capsys.readouterr().out
    assert call("plugins", "show", "finding") == 5
    capsys.readouterr()
    assert call("plugins", "list") == 0
    assert "writer   findings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("broken", "check", "said"),
    [
        ("read = lambda file: 1 / 0", "check_files_become_pictures", "failed (ZeroDivisionError"),
        ("calls = []\ndef read(file):\n    calls.append(1)\n    return np.full((2, 2, 1), len(calls), np.uint8)",
         "check_reading_repeats", "read twice, it differs"),
        ("running = []\ndef read(file):\n    running.append(1)\n    time.sleep(0.05)\n    seen = len(running)\n"
         "    running.pop()\n    return np.full((2, 2, 1), min(seen, 2), np.uint8)",
         "check_threads_get_what_one_gets", "threads at once, it differs"),
        ("def read(file):\n    content = file.read()\n    if len(content) < 8 or content[0] == 255:\n"
         "        np.zeros(1 << 31, np.uint8)\n        raise ValueError\n    return np.zeros((2, 2, 1), np.uint8)",
         "check_damaged_files_end_in_an_error_and_stay_small", "look at sizes before allocating"),
        ("def read(file):\n    return np.zeros((2, 2, 1), np.uint8)\nGUARDS = ('modality',)",
         "check_guards_are_said_of_every_image", "guards has 'modality'"),
        ("def read(file):\n    return np.zeros((2, 2, 1), np.uint8)\ndef sniff(head):\n    return True",
         "check_sniff_knows_its_files_alone", "for one of its files"),
        ("def read(files):\n    return np.zeros((2, 2, 1), np.uint8)\ndef gather(paths):\n    yield 'a', paths",
         "check_gather_does_not_depend_on_the_order", "sort them"),
        ("from anomalib_lite.edge.model import Model\ndef read(file):\n    return np.zeros((2, 2, 1), np.uint8)",
         "check_the_reader_imports_public_names_alone", "private part"),
    ],
)  # fmt: skip
def test_the_kit_finds_each_fault_by_a_check_of_its_own(
    broken: str, check: str, said: str, tmp_path: Path, monkeypatch: Any
) -> None:
    from anomalib_lite.hookspecs import ReaderInfo
    from anomalib_lite.testing import check_reader

    name = f"broken_{check[6:30]}"
    (tmp_path / f"{name}.py").write_text(f"import time\n\nimport numpy as np\n\n{broken}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(2):
        (tmp_path / f"{number}.acme").write_bytes(b"\1content of a file")
    found = importlib.import_module(name)
    info = ReaderInfo(
        suffixes=(".acme",), target=f"{name}:read", guards=getattr(found, "GUARDS", ()), api=2,
        sniff=f"{name}:sniff" if hasattr(found, "sniff") else None,
        gather=f"{name}:gather" if hasattr(found, "gather") else None,
    )  # fmt: skip
    with pytest.raises(AssertionError, match=said.replace("(", r"\(")) as caught:
        check_reader(info, sorted(tmp_path.glob("*.acme")))
    assert str(caught.value).splitlines()[1].startswith(f"{check}: ")
    assert len(str(caught.value).splitlines()) == 2


def test_a_declared_content_type_names_the_reader(model: Path, scans: Path) -> None:
    from fastapi.testclient import TestClient

    from anomalib_lite.pipeline.serve import application

    service = TestClient(application(Model(model, readers=registry.load().readers)), "http://127.0.0.1")
    body = (scans / "bad/3.dcm").read_bytes()
    for query, kind in (("?name=x.dcm%233", "application/octet-stream"), ("?name=x%233", "application/dicom"),
                        ("?name=IM7%233", "image/x"), ("?name=x.dcm%233", "application/dicom")):  # fmt: skip
        answer = service.post(f"/inspect{query}", content=body, headers={"content-type": kind})
        assert answer.json()["verdict"] == "NG", answer.text
    refused = service.post("/inspect", content=body, headers={"content-type": "application/x-acme"})
    assert refused.status_code == 415
    assert "application/dicom" in refused.text
    several = service.post("/inspect", content=body, headers={"content-type": "application/dicom"})
    assert several.json()["error_code"] == "several_frames"


def test_two_detectors_are_one_in_few_lines(parts: Path, tmp_path: Path) -> None:
    """The four packages that API 2 was made for: this one, nearest neighbours (`plugins new --backbone`), and these."""
    lines = [line for file in (STRANGERS / "acme_fusion").glob("*.py") for line in file.read_text().splitlines()]
    assert len(lines) <= 70
    asked: tuple[str | Path, ...] = (
        "train",
        "acme-fusion",
        parts,
        "--group",
        r"part(\d+)",
        *SIZE,
        "--max-false-reject",
        "30%",
    )
    members = ("--set", "options.members=[placed, contrast]")  # of the tests
    assert call(*asked, *members, "--out", tmp_path / "model") == 0
    known = json.loads((tmp_path / "model/manifest.json").read_text())["detector"]
    assert [one["name"] for one in known["members"]] == ["placed", "contrast"]
    assert not any(one.flipped or one.error for one in replay(Model(tmp_path / "model")))


@pytest.mark.slow
def test_it_keeps_the_rules() -> None:
    from anomalib_lite.testing import check_detector

    check_detector("acme_fusion", options={"members": ["placed", "contrast"]})
