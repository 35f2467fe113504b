"""``training.py``, ``evaluate`` and ``export`` as they are used: real processes, real interruptions."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from product_models import draw

from flawsight.cli import main
from flawsight.cli.division import divide_again
from flawsight.cli.evaluate import foreign_pictures
from flawsight.errors import DataError, FlawsightError
from flawsight.inspection.engines import load_engine
from flawsight.learning import scales
from flawsight.learning.charts import read_history
from flawsight.learning.config import TrainConfig
from flawsight.learning.presets import load_preset
from flawsight.learning.tune import suggest, tune
from flawsight.metadata import ModelMetadata
from flawsight.settings import PROJECT_ROOT

SMALL = [
    "--epochs=3",
    "--stop-after=2",
    "--batches=2",
    "--batch-size=4",
    "--image-size=64",
    "--min-side=96",
    "--precision=32-true",
    "--seed=3",
    "--workers=1",  # it asks for batches ahead of the trainer, also when a run is resumed
]
CHARTS = {
    "accuracy_curve",
    "loss_curve",
    "class_distribution",
    "confusion_matrix",
    "per_dataset_accuracy",
    "val_metrics",
    "cost_curve",
    "reliability",
}
PATIENCE = 600  # seconds before a run counts as hung


def start(data: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "training.py", "--data", str(data), "--out", str(out), *SMALL, *flags],
        cwd=PROJECT_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_after_epoch(run: subprocess.Popen[str], number: int, out: Path) -> None:
    """SIGKILL the run at the moment the checkpoint of epoch ``number`` (from 1) is there."""
    deadline = time.monotonic() + PATIENCE
    last, versions = checkpoint(out, "last"), set()
    try:
        while len(versions) < number:
            assert run.poll() is None, f"the run ended by itself:\n{run.communicate()[0]}"
            assert time.monotonic() < deadline, "the run never came so far"
            time.sleep(0.02)
            if last.is_file():
                versions.add(last.stat().st_mtime_ns)
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert torch.load(last, weights_only=False)["epoch"] == number - 1, "killed too late"


def checkpoint(out: Path, name: str) -> Path:
    return out / "runs" / "unified" / "checkpoints" / f"{name}.ckpt"


@pytest.fixture(scope="module")
def data(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One texture and all tiles: few images, two families, masks."""
    root = tmp_path_factory.mktemp("train") / "data"
    shutil.copytree(drawn_data / "Magnetic-Tile-Defect", root / "Magnetic-Tile-Defect")
    shutil.copytree(drawn_data / "DAGM" / "Class1", root / "DAGM" / "Class1")
    shutil.copy(drawn_data / "generated.json", root)
    return root


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reached its last epoch in one go, killed while it makes the model from it."""
    out = tmp_path_factory.mktemp("uninterrupted")
    (out / "best_model_unified.onnx").write_text("the model before")
    (out / "best_model_unified.pth").write_text("the model before")
    kill_after_epoch(start(data, out), 2, out)
    return out


@pytest.fixture(scope="module")
def resumed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, killed in its second epoch and resumed to the end."""
    out = tmp_path_factory.mktemp("resumed")
    kill_after_epoch(start(data, out), 1, out)
    run = start(data, out, "--resume")
    said = run.communicate(timeout=PATIENCE)[0]
    assert run.returncode == 0, said
    assert not re.search("Tip:|Warning", said), said
    return out


def test_a_run_killed_while_it_makes_the_model_leaves_the_old_one(uninterrupted: Path) -> None:
    for name in ("best_model_unified.onnx", "best_model_unified.pth"):
        assert (uninterrupted / name).read_text() == "the model before"


def test_a_run_killed_and_resumed_has_the_weights_of_one_that_was_not(
    uninterrupted: Path, resumed: Path
) -> None:
    for name in ("last", "best"):
        one, other = (
            torch.load(checkpoint(out, name), weights_only=False) for out in (uninterrupted, resumed)
        )
        assert one["epoch"] == other["epoch"] and one["global_step"] == other["global_step"]
        for state in ("state_dict", "current_model_state"):
            assert one[state].keys() == other[state].keys()
            for key, value in one[state].items():
                torch.testing.assert_close(value, other[state][key], rtol=0, atol=1e-6, msg=f"{name} {key}")
    model = torch.load(resumed / "best_model_unified.pth", weights_only=True)["state_dict"]
    best = torch.load(checkpoint(uninterrupted, "best"), weights_only=False)["state_dict"]
    for key, value in model.items():
        torch.testing.assert_close(value, best[f"net.{key}"], rtol=0, atol=1e-6)


def test_the_second_epoch_changed_the_weights(resumed: Path) -> None:
    """Else the comparison above would compare nothing."""
    state = torch.load(checkpoint(resumed, "last"), weights_only=False)
    assert state["global_step"] == 4
    stem = "net.head.weight"
    assert not torch.equal(state["state_dict"][stem], state["current_model_state"][stem])


def test_a_run_leaves_the_files_it_names_and_no_others(resumed: Path) -> None:
    names = {path.relative_to(resumed).as_posix() for path in resumed.rglob("*") if path.is_file()}
    run = {name.removeprefix("runs/unified/") for name in names if name.startswith("runs/unified/")}
    assert names - {f"runs/unified/{name}" for name in run} == {
        "best_model_unified.pth",
        "best_model_unified.onnx",
        "results_unified.json",
        "gradcam_visualization_unified.png",
        *(f"charts/{name}.png" for name in CHARTS),
    }
    assert {"config.json", "manifest.json", "train.log"} <= run
    folders = {name.split("/")[0] for name in run if "/" in name}
    assert folders == {"checkpoints", "csv", "implants", "tensorboard"}


def test_each_chart_is_a_picture_of_a_readable_size(resumed: Path) -> None:
    for path in [*(resumed / "charts").iterdir(), resumed / "gradcam_visualization_unified.png"]:
        with Image.open(path) as chart:
            assert min(chart.size) >= 300, path.name
            colours = chart.convert("RGB").getcolors(maxcolors=chart.width * chart.height)
            assert colours is not None and len(colours) > 5, f"{path.name} is blank"


def test_the_results_and_both_model_files_tell_the_same(resumed: Path) -> None:
    results = json.loads((resumed / "results_unified.json").read_text())
    manifest = json.loads((resumed / "runs/unified/manifest.json").read_text())
    config = json.loads((resumed / "runs/unified/config.json").read_text())
    pth, onnx = (load_engine(resumed / f"best_model_unified.{end}").metadata for end in ("pth", "onnx"))
    assert pth == onnx
    assert (
        manifest["sha256"] == onnx.manifest_sha256 == results["manifest_sha256"] == config["manifest_sha256"]
    )
    assert onnx.seed == config["seed"] == 3
    tested = sum(entry["split"] == "test" for entry in manifest["entries"])
    assert results["test"]["overall"]["n"] == tested == onnx.metrics["tested"]
    low, high = results["test"]["overall"]["accuracy"]["interval"]
    assert 0 <= low <= results["test"]["overall"]["accuracy"]["value"] <= high <= 1


def test_no_file_names_a_place_on_this_machine(resumed: Path, data: Path) -> None:
    for path in (resumed / "results_unified.json", *(resumed / "runs/unified").glob("*.json")):
        assert str(data.parent) not in path.read_text()
        assert str(resumed) not in path.read_text()


def test_the_history_of_a_resumed_run_has_every_epoch(resumed: Path) -> None:
    history = read_history(resumed / "runs/unified/csv/metrics.csv")
    for metric in ("val_score", "val_loss", "val_accuracy"):
        assert [epoch for epoch, _ in history[metric]] == [1, 2], metric
    assert history["train_loss"][-1][0] == 2  # the first came after the kill


def test_the_log_tells_of_every_epoch_and_step(resumed: Path) -> None:
    log = (resumed / "runs/unified/train.log").read_text()
    for part in (
        "Run unified: 8 train, 8 val, 8 test",
        "Epoch 1: ",
        "Epoch 2: ",
        "thresholds",
        "Measuring on",
    ):
        assert part in log


# In this process: quick refusals


@pytest.fixture
def restore_logging() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("flawsight")
    handlers, level = list(root.handlers), own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code != 0, result.output
    return result.output if not isinstance(result.exception, FlawsightError) else str(result.exception)


@pytest.mark.usefixtures("restore_logging")
def test_resuming_with_other_flags_or_data_is_refused_and_says_which(
    uninterrupted: Path, data: Path, drawn_data: Path
) -> None:
    same = ["train", "--out", str(uninterrupted), *SMALL, "--resume"]
    before = checkpoint(uninterrupted, "last").read_bytes()
    changed = ("--epochs", "5", "--learning-rate", "0.1", "--stop-after", "3")  # it may stop later
    said = refused(*same, "--data", str(data), *changed)
    assert "other values of: epochs, learning_rate" in said and "--run-name" in said
    said = refused(*same, "--data", str(drawn_data / "Magnetic-Tile-Defect"))
    assert "other values of: data, manifest_sha256" in said
    assert checkpoint(uninterrupted, "last").read_bytes() == before


@pytest.mark.usefixtures("restore_logging")
def test_an_unknown_backbone_is_refused_before_any_image_is_read(tmp_path: Path, data: Path) -> None:
    said = refused("train", "--data", str(data), "--out", str(tmp_path), "--backbone", "eficientnet-b0")
    assert "Did you mean 'efficientnet-b0'?" in said
    assert not (tmp_path / "runs/unified/manifest.json").exists()


@pytest.mark.usefixtures("restore_logging")
def test_a_crop_size_that_no_network_takes_is_refused(tmp_path: Path, data: Path) -> None:
    assert "not a multiple of 32" in refused("train", "--data", str(data), "--image-size", "100")


@pytest.mark.usefixtures("restore_logging")
def test_why_a_run_stopped_is_in_its_log(tmp_path: Path) -> None:
    said = refused("train", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path))
    assert "nowhere does not exist" in said
    assert "Stopped: Data folder" in (tmp_path / "runs/unified/train.log").read_text()


@pytest.mark.usefixtures("restore_logging")
@pytest.mark.filterwarnings("default::FutureWarning", "default::UserWarning")  # of Lightning, in this process
def test_a_search_goes_on_where_it_stopped_and_trains_with_the_best(data: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=(data,), out=tmp_path, epochs=1, batches=1, batch_size=4, image_size=64, min_side=96, implants=0
    )
    _, first = tune(config, 1)
    chosen, best = tune(config, 1)
    study = optuna.load_study(
        study_name="unified", storage=f"sqlite:///{tmp_path}/runs/unified/trials/study.db"
    )
    assert len(study.trials) == 2
    assert best == max(trial.value or 0 for trial in study.trials) >= first
    assert chosen.learning_rate == study.best_params["learning_rate"]
    assert (chosen.run_name, chosen.epochs) == ("unified", 1)


@pytest.mark.parametrize("taught", [0.0, 1.0])
def test_a_search_weighs_cells_only_where_they_are_taught(taught: float) -> None:
    trial = optuna.create_study().ask()
    assert ("map_loss" in suggest(trial, TrainConfig(map_loss=taught))) == bool(taught)


def test_a_model_of_a_preset_is_measured_on_the_division_of_its_training(tmp_path: Path) -> None:
    data = draw("casting", tmp_path / "castings")
    classes = tuple(load_preset("casting").classes)
    metadata = ModelMetadata("casting", "1", "compact", classes, classes[1:], 16)
    known = replace(metadata, product=load_preset("casting").product())
    assert {s.class_id for s in divide_again((data,), known).samples} == set(classes)
    assert {s.class_id for s in divide_again((data,), metadata, preset="casting").samples} == set(classes)
    with pytest.raises(DataError, match="name that with --preset"):
        divide_again((data,), metadata)


@pytest.mark.parametrize(
    "content",
    ["# no results", '{"config": {"preset": "casting"}}', '{"config": {"preset": "unified"}}'],
)
def test_a_card_is_written_of_the_unified_model_alone(tmp_path: Path, content: str) -> None:
    results, out = tmp_path / "results_casting.json", tmp_path / "card.md"
    results.write_text(content)
    done = CliRunner().invoke(main, ["card", f"--results={results}", f"--out={out}"])
    assert done.exit_code == 1 and done.stderr.startswith("Error: ") and not out.exists()


def test_folders_of_foreign_pictures_that_share_a_name_are_measured_each(tmp_path: Path) -> None:
    numbers = {"line1/photos": 1, "line2/photos": 2, "hands": 3}
    for name, number in numbers.items():
        (tmp_path / name).mkdir(parents=True)
        for at in range(number):
            Image.effect_noise((64, 64), 90).save(tmp_path / name / f"{at}.png")
    found = foreign_pictures([tmp_path / name for name in numbers])
    one, two = (str(tmp_path / name) for name in list(numbers)[:2])
    assert {name: len(list(pictures)) for name, pictures in found.items()} == {one: 1, two: 2, "hands": 3}


# The other two commands, on the model just made


def test_the_shipped_figures_can_be_measured_again(resumed: Path, data: Path, tmp_path: Path) -> None:
    model, figures = resumed / "best_model_unified.onnx", tmp_path / "figures.json"
    asked = ["evaluate", "--data", str(data), "--model", str(model)]
    others = tmp_path / "others"
    others.mkdir()
    Image.effect_noise((64, 64), 90).save(others / "noise.png")
    asked += ["--json", str(figures), "--charts", str(tmp_path), "--foreign", str(others)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    measured = json.loads(figures.read_text())
    shipped = json.loads((resumed / "results_unified.json").read_text())["test"]
    assert measured["same_manifest"] is True
    held = measured["curves"]["held"]
    assert len(held) == measured["overall"]["n"] and set(held) <= {"", "unknown", "poor_photo"}
    assert held.count("unknown") == measured["overall"]["unknown_share"]["hits"]
    for key in ("overall", "datasets", "confusion", "curves"):
        assert measured[key] == shipped[key]
    kinds = measured["unknown"]["kinds"]
    assert kinds["others"]["foreign"] == 1
    counts = [of["foreign"] for kind, of in kinds.items() if kind.startswith("drawn ")]
    assert len(counts) > 3 and 1 + sum(counts) == measured["unknown"]["foreign"]
    drawn = {"confusion_matrix", "per_dataset_accuracy", "reliability", "cost_curve", "worst_mistakes"}
    assert {path.stem for path in tmp_path.glob("*.png")} == drawn


def test_what_a_model_learned_from_is_measured_as_such(resumed: Path, data: Path, tmp_path: Path) -> None:
    model, figures = resumed / "best_model_unified.onnx", tmp_path / "figures.json"
    asked = ["evaluate", f"--data={data}", f"--model={model}", "--split=train", f"--json={figures}"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    assert "Figures of what was learned from" in result.output
    counts = json.loads((resumed / "results_unified.json").read_text())["dataset"]["counts"]
    measured = json.loads(figures.read_text())
    assert measured["overall"]["n"] == sum(of_class["train"] for of_class in counts.values())


def test_the_benchmark_finds_a_published_figure_that_is_not_so(
    resumed: Path, data: Path, tmp_path: Path
) -> None:
    results = resumed / "results_unified.json"
    asked = [
        "benchmark",
        "accuracy",
        "--data",
        str(data),
        "--model",
        str(resumed / "best_model_unified.onnx"),
    ]
    flattered = json.loads(results.read_text())
    flattered["test"]["overall"]["ece"]["value"] -= 0.02
    (tmp_path / "flattered.json").write_text(json.dumps(flattered))
    assert "1 figure(s) differ" in refused(*asked, "--results", str(tmp_path / "flattered.json"))


def test_the_same_weights_are_read_in_every_way(
    resumed: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scales, "SQUARES", (224,))
    monkeypatch.setattr(scales, "ENLARGED", (128,))
    asked = ["benchmark", "scales", "--data", str(data), "--model", str(resumed / "best_model_unified.pth")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    native = "native scale, at least"
    for way in (
        f"{native} 96 px, stride 16",
        f"{native} 96 px, stride 16, flips averaged",
        f"{native} 128 px, stride 16",
        f"{native} 96 px, stride 32",
        "224 × 224",
    ):
        assert way in result.output
    model = resumed / "best_model_unified.onnx"
    for command, ways in {
        "poolings": ("mean", "log-sum-exp, sharpness 5", "top 12 cells"),
        "maps": ("the most probable defect", "all defects together"),
    }.items():
        asked = ["benchmark", command, "--data", str(data), "--model", str(model)]
        result = CliRunner().invoke(main, asked)
        assert result.exit_code == 0, result.output
        for way in ways:
            assert way in result.output


def test_classes_the_model_does_not_know_are_named(resumed: Path, tmp_path: Path) -> None:
    for class_id in ("ok", "dented"):
        (tmp_path / class_id).mkdir()
        for number in range(8):
            Image.effect_noise((64, 64), 20 + number).save(tmp_path / class_id / f"{number}.png")
    said = refused("evaluate", "--data", str(tmp_path), "--model", str(resumed / "best_model_unified.onnx"))
    assert "dented, ok" in said


def test_the_twin_is_made_from_the_torch_model_and_answers_alike(resumed: Path, tmp_path: Path) -> None:
    source, target = resumed / "best_model_unified.pth", tmp_path / "twin.onnx"
    result = CliRunner().invoke(main, ["export", str(source), "--out", str(target)])
    assert result.exit_code == 0 and "difference" in result.output, result.output
    assert replace(load_engine(target).metadata, export={}) == load_engine(source).metadata


def test_an_export_that_cannot_be_made_leaves_the_old_file(resumed: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.onnx"
    old.write_text("old")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes((resumed / "best_model_unified.pth").read_bytes()[:-4000])
    assert "damaged" in refused("export", str(damaged), "--out", str(old))
    assert old.read_text() == "old"
    assert "already" in refused("export", str(resumed / "best_model_unified.onnx"))
    assert {path.name for path in tmp_path.iterdir()} == {"old.onnx", "damaged.pth"}
