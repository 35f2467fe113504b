"""The command line: one JSON line an image, files beside it, errors that do not stop the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flawsight.cli import COMMANDS, main
from flawsight.cli.inspect import output_names
from flawsight.imaging import read_image

LINE_KEYS = {
    "schema", "image", "verdict", "predicted_class", "confidence", "defect_probability",
    "probabilities", "boxes", "heatmap", "model", "timing_ms", "quality",
}  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_image_gives_one_line_of_the_documented_shape(part_files: Path, tiny_model: Path) -> None:
    scratched = part_files / "deep" / "scratched.png"
    result = run(part_files / "good.png", scratched, "--model", tiny_model)
    assert result.exit_code == 0, result.output
    good, bad = lines_of(result)
    assert good.keys() >= LINE_KEYS
    assert good["schema"] == "flawsight.inspection/1"
    assert good["verdict"] == "accept" and good["boxes"] == []
    assert bad["verdict"] == "reject" and bad["predicted_class"] == "MT_Crack"
    assert bad["image"]["path"] == str(scratched)
    assert (bad["image"]["width"], bad["image"]["height"]) == (256, 192)
    assert bad["boxes"][0].keys() == {"x1", "y1", "x2", "y2", "score", "class"}
    assert bad["heatmap"].keys() >= {"class", "peak", "peak_score", "method"}
    assert sum(bad["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_broken_and_missing_files_get_error_lines_and_the_rest_goes_on(
    part_files: Path, tiny_model: Path
) -> None:
    result = run(part_files / "gone.png", part_files, "--model", tiny_model)
    assert result.exit_code == 1
    by_name = {line["image"]["name"]: line for line in lines_of(result)}
    assert by_name.keys() == {"gone.png", "good.png", "broken.png", "scratched.png"}
    assert by_name["broken.png"]["error"]["code"] == "not_an_image"
    assert "damaged or ends early" in by_name["broken.png"]["error"]["message"]
    assert "cannot be read" in by_name["gone.png"]["error"]["message"]
    assert by_name["gone.png"].keys() == {"schema", "image", "error"}
    assert by_name["scratched.png"]["verdict"] == "reject"
    assert f"{part_files / 'gone.png'} does not exist." in result.stderr
    assert "3 images: 1 failed, 1 reject, 1 accept" in result.stderr


def test_folder_without_images_is_an_error(tmp_path: Path, tiny_model: Path) -> None:
    result = run(tmp_path, "--model", tiny_model)
    assert result.exit_code == 1
    assert "no image in the folder" in lines_of(result)[0]["error"]["message"]
    assert result.stderr == f"The folder {tmp_path} holds no images.\n"


def test_one_image_is_counted_in_the_singular_and_a_path_without_any_not_at_all(
    part_files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    result = run(part_files / "good.png", "--model", tiny_model)
    assert result.stderr == "1 image: 1 accept\n"
    (empty := tmp_path / "empty").mkdir()
    result = run(empty, tmp_path / "gone", part_files / "good.png", "--model", tiny_model)
    assert result.exit_code == 1 and len(lines_of(result)) == 3
    assert result.stderr.splitlines() == [
        f"The folder {empty} holds no images.", f"{tmp_path / 'gone'} does not exist.", "1 image: 1 accept",
    ]  # fmt: skip
    broken = run(part_files / "deep" / "broken.png", "--model", tiny_model)
    assert (broken.exit_code, broken.stderr) == (1, "1 image: 1 failed\n")


def test_files_are_written_beside_the_lines(part_files: Path, tiny_model: Path, tmp_path: Path) -> None:
    scratched, out = part_files / "deep" / "scratched.png", tmp_path / "out"
    flags = [
        "--json",
        out / "lines.jsonl",
        "--heatmaps",
        out / "heat",
        "--overlays",
        out,
        "--pdf",
        out / "pdf",
    ]
    result = run(scratched, "--model", tiny_model, *flags)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    line = json.loads((out / "lines.jsonl").read_text())
    assert line["files"].keys() == {"heatmap", "overlay", "report"}
    assert line["files"]["heatmap"] == str(out / "heat" / "scratched.npy")
    heat = np.load(line["files"]["heatmap"])
    assert heat.shape == (192, 256) and heat.dtype == np.float32
    assert heat.max() == 1
    x, y = line["heatmap"]["peak"]
    assert heat[y, x] == 1
    overlay = read_image(out / "scratched.png")
    assert overlay.shape[0] * 256 == overlay.shape[1] * 192
    assert (out / "pdf" / "scratched.pdf").read_bytes().startswith(b"%PDF")


def test_same_names_in_two_folders_do_not_overwrite_each_other(
    part_files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copy(part_files / "deep" / "scratched.png", part_files / "deep" / "good.png")
    (part_files / "deep" / "broken.png").unlink()
    result = run(part_files, "--model", tiny_model, "--heatmaps", tmp_path / "heat")
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / "heat").iterdir()}
    assert written == {"deep__good.npy", "parts__good.npy", "scratched.npy"}


def test_output_names_are_short_and_unique() -> None:
    assert output_names([Path("/a/1.png"), Path("/a/2.png"), Path("/b/1.png")]) == ["a__1", "2", "b__1"]
    assert output_names([Path("/a/x.png"), Path("/a/x.jpg")]) == ["x.png", "x.jpg"]
    assert output_names([Path("/p/a/x.png"), Path("/q/a/x.png")]) == ["p__a__x", "q__a__x"]
    awkward = [Path("/a/b__x.png"), Path("/a/b/x.png"), Path("/c/x.png"), Path("/c/X.png")]
    assert len({name.casefold() for name in output_names(awkward)}) == 4


def test_a_json_file_that_cannot_be_written_is_said(
    part_files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    result = run(part_files, "--json", tmp_path / "file" / "lines.json", "--model", tiny_model)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and "lines.json cannot be written" in result.stderr


def test_failed_run_leaves_an_earlier_json_file_alone(part_files: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "lines.jsonl"
    earlier.write_text("earlier")
    result = run(part_files, "--json", earlier, "--model", tmp_path / "none.onnx")
    assert result.exit_code == 1
    assert earlier.read_text() == "earlier"


def test_missing_model_is_one_plain_message(part_files: Path, tmp_path: Path) -> None:
    result = run(part_files, "--model", tmp_path / "none.onnx")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no model at")
    assert "python training.py" in result.stderr
    assert "Traceback" not in result.output


def test_thresholds_move_without_another_model(part_files: Path, tiny_model: Path) -> None:
    scratched = part_files / "deep" / "scratched.png"
    (usual,) = lines_of(run(scratched, "--model", tiny_model))
    (lenient,) = lines_of(run(scratched, "--model", tiny_model, "--accept-below", 1, "--reject-from", 1))
    assert (usual["verdict"], lenient["verdict"]) == ("reject", "accept")
    assert usual["probabilities"] == lenient["probabilities"]
    crossed = run(scratched, "--model", tiny_model, "--accept-below", 0.9, "--reject-from", 0.2)
    assert crossed.exit_code == 2 and "accepted below 0.9 and rejected from 0.2" in crossed.output


def test_a_path_is_needed() -> None:
    assert run().exit_code == 2


def test_help_lists_every_command_without_loading_them() -> None:
    code = (
        "import sys; from flawsight.cli import main; main(['--help'], standalone_mode=False);"
        "heavy = {'torch', 'cv2', 'onnxruntime', 'flask', 'sqlalchemy'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_inspecting_with_onnx_never_imports_torch(part_files: Path, tiny_model: Path) -> None:
    arguments = ["inspect", str(part_files / "good.png"), "--model", str(tiny_model)]
    code = (
        f"import sys; from flawsight.cli import main; main({arguments}, standalone_mode=False);"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "accept"
