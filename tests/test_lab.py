"""Presets and studies, on drawn pictures that a network of four blocks learns in seconds."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.stats import ttest_rel
from torch.utils.data import DataLoader

from flawsight.cli import main
from flawsight.data.pictures import SWITCHES, PictureSampler, change
from flawsight.data.samples import Sample
from flawsight.data.splits import into_folds, make_manifest
from flawsight.errors import DataError, FlawsightError
from flawsight.i18n import percent
from flawsight.inspection.engines import load_engine
from flawsight.inspection.identify import identify
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.inspection.tiny import METADATA
from flawsight.learning.backbones import build
from flawsight.learning.card import training_command
from flawsight.learning.config import Phase, TrainConfig
from flawsight.learning.export import save_torch
from flawsight.learning.fit import (
    StopInLastPhase,
    _averaged,
    _settle_run_folder,
    _weights_like,
    fit,
    prepare_data,
)
from flawsight.learning.lab import compare_pairs, sweep
from flawsight.learning.phases import learning_rate, let_learn, phase_at
from flawsight.learning.presets import SHIPPED, fine_tuning, load_preset
from flawsight.learning.significance import corrected_t_test, holm, sign_test, verdicts
from flawsight.taxonomy import describe

PHASES = (Phase(0.25, "head", 1e-3), Phase(0.75, "2", 1e-4, class_weights=True))
SMALL = ["--epochs=1", "--image-size=64", "--batch-size=4"]


@pytest.fixture(scope="module")
def castings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey discs in the layout of the castings; a defective one has a dark spot."""
    root, rng = tmp_path_factory.mktemp("castings"), np.random.default_rng(0)
    for name in ("ok_front", "def_front"):
        (root / name).mkdir()
        for number in range(12):
            # Coarse blotches, each picture its own: copies would be joined into one group.
            pixels = np.kron(rng.normal(128, 40, (8, 8)), np.ones((8, 8))) + rng.normal(0, 4, (64, 64))
            if name == "def_front":
                y, x = rng.integers(4, 40, 2)
                pixels[y : y + 18, x : x + 18] = 0
            image = np.clip(pixels, 0, 255).astype(np.uint8)
            Image.fromarray(image).convert("RGB").save(root / name / f"{number}.png")
    return root


def run(*arguments: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning and torch say much about themselves
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


# Studies


@pytest.fixture(scope="module")
def study(castings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:  # type: ignore[type-arg]
    """Two heads on two divisions."""
    out = tmp_path_factory.mktemp("study")
    flags = ["--preset=casting", f"--data={castings}", "--backbone=compact", f"--out={out}", "--repeat=2"]
    run("ablate", "--what=head", *flags, *SMALL, "--name=heads")
    folder = out / "runs" / "heads"
    return folder, json.loads((folder / "comparison.json").read_text())


def test_a_study_leaves_a_run_and_a_servable_model_for_each_variant_and_repeat(study) -> None:  # type: ignore[no-untyped-def]
    folder, content = study
    assert content["complete"] and content["kind"] == "ablate" and content["factor"] == "head"
    assert [entry["label"] for entry in content["entries"]] == ["base", "head linear"]
    for entry in content["entries"]:
        assert [run["seed"] for run in entry["runs"]] == [0, 1]
        assert sum(run["best"] for run in entry["runs"]) == 1
        for one in entry["runs"]:
            engine = load_engine(folder / one["model"])
            assert engine.metadata.classes == ("casting_ok", "casting_defective")
            matrix = np.array(one["test"]["confusion"]["matrix"])
            assert np.trace(matrix) / matrix.sum() == pytest.approx(
                one["test"]["accuracy"]["value"], abs=1e-3
            )
    assert content["entries"][0]["parameters"] > content["entries"][1]["parameters"]
    for name in content["charts"]:
        with Image.open(folder / name) as chart:
            assert chart.width > 300 and chart.height > 200


def test_a_study_says_what_its_differences_are_worth(study) -> None:  # type: ignore[no-untyped-def]
    _, content = study
    (test,) = content["tests"]
    accuracies = [entry["summary"]["accuracy"]["mean"] for entry in content["entries"]]
    assert test["difference"] == pytest.approx(accuracies[0] - accuracies[1], abs=1e-3)
    assert "Nadeau" in test["method"] and test["real"] == (test["p_adjusted"] < 0.05)


def test_a_study_started_again_trains_only_what_is_missing(study, castings: Path) -> None:  # type: ignore[no-untyped-def]
    folder, _ = study
    kept, lost = (folder / name / "trial.json" for name in ("base-0", "head linear-1"))
    before, figures = kept.stat().st_mtime_ns, json.loads(lost.read_text())["run"]["test"]
    lost.unlink()  # as if the run had been cut off after its last epoch
    flags = ["--preset=casting", f"--data={castings}", "--backbone=compact", f"--out={folder.parent.parent}"]
    run("ablate", "--what=head", *flags, "--repeat=2", *SMALL, "--name=heads")
    assert kept.stat().st_mtime_ns == before
    assert json.loads(lost.read_text())["run"]["test"] == figures
    other = CliRunner().invoke(main, ["ablate", "--what=head", *flags, "--name=heads", "--epochs=2"])
    assert other.exit_code == 1 and "other settings" in other.output


def test_a_sweep_counts_what_each_threshold_lets_through() -> None:
    answers = {"mass": [0.05, 0.3, 0.6, 0.9], "defective": [False, True, False, True]}
    low, high = sweep([{"answers": answers}], [0.2, 0.7], Costs(escape=20, overkill=1))
    assert low["recall"]["mean"] == 1 and low["accuracy"]["mean"] == 0.75
    assert low["cost"]["mean"] == pytest.approx(0.5 * 1 * 0.5)  # one of two good ones refused
    assert high["recall"]["mean"] == 0.5 and high["cost"]["mean"] == pytest.approx(0.5 * 20 * 0.5)


# Is a difference real?


def test_without_shared_pictures_the_corrected_test_is_the_paired_t_test() -> None:
    a, b = [0.9, 0.85, 0.88, 0.91], [0.8, 0.83, 0.84, 0.82]
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    assert corrected_t_test(gaps, 0, 10_000) == pytest.approx(ttest_rel(a, b).pvalue)
    assert corrected_t_test(gaps, 0.4, 10_000) > ttest_rel(a, b).pvalue


def test_two_equal_differences_are_no_proof() -> None:
    assert corrected_t_test([0.25, 0.25], 0.5, 8) > 0.2


def test_pictures_of_one_part_count_once_in_the_sign_test() -> None:
    first = {"part": [True] * 8}, {"part": [False] * 8}
    assert sign_test(*first) == 1.0
    many = {str(i): [True] for i in range(8)}, {str(i): [False] for i in range(8)}
    assert sign_test(*many) == pytest.approx(2 / 2**8)


def test_many_comparisons_need_more_proof() -> None:
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    test = {"a": "x", "b": "y", "metric": "accuracy", "difference": -0.1, "p": 0.04, "method": ""}
    assert verdicts([test])[0]["sentence"].startswith("y is better than x by 10.0 points")
    assert not verdicts([test, test])[0]["real"]


def test_where_parts_and_pictures_contradict_each_other_nothing_is_claimed() -> None:
    parts = [f"{number}" for number in range(12)]
    first = {**{part: [True, False] for part in parts}, "large": [True] * 30}
    second = {**{part: [True, True] for part in parts}, "large": [False] * 30}
    assert sign_test(first, second) < 0.01
    trials = [
        {
            "run": {"test": {"accuracy": {"value": sum(map(sum, right.values())) / 54}}},
            "answers": {
                "group": [part for part, answers in right.items() for _ in answers],
                "right": [answer for answers in right.values() for answer in answers],
            },
        }
        for right in (first, second)
    ]
    [found] = compare_pairs({"x": trials[:1], "y": trials[1:]}, trained=100, tested=54)
    assert found["difference"] > 0 and found["lead"] == -11 and found["p"] < 0.01 and not found["real"]
    assert found["sentence"].startswith("No difference between x and y is shown")
    assert found["sentence"].endswith("x is ahead by pictures, y by groups.")


# Folds


def test_each_group_validates_in_exactly_one_fold_and_the_test_split_stays(castings: Path) -> None:
    files = sorted(castings.rglob("*.png"))[:20]
    found = [Sample(path, f"class{i % 2}", "set", f"g{i}") for i, path in enumerate(files)]
    views = [replace(sample, region=(0, 0, side, side)) for sample in found for side in (8, 16)]
    manifest = make_manifest(views, 0)
    parts = [into_folds(manifest, 5, fold) for fold in range(5)]
    tested = {entry.group for entry in manifest.entries if entry.split == "test"}
    held_out = [{e.group for e in part.entries if e.split == "val"} for part in parts]
    assert all({e.group for e in part.entries if e.split == "test"} == tested for part in parts)
    assert sum(map(len, held_out)) == len(set.union(*held_out)) == 20 - len(tested)
    for part in parts:
        assert not {e.group for e in part.entries if e.split == "train"} & {
            e.group for e in part.entries if e.split == "val"
        }
    with pytest.raises(DataError, match="folds"):
        into_folds(manifest, 50, 0)


# Presets


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_preset_can_be_read_and_describes_its_classes(name: str) -> None:
    preset = load_preset(name)
    assert preset.title and preset.summary
    for class_id in preset.classes:
        info = describe(class_id)
        assert info.dataset == preset.title and len(info.description) > 20
        assert preset.task == "inspect" or (info.facts and not info.is_defect)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[training]\nbackbon = "x"', "backbon"),
        ('[training]\naugment = ["flop"]', "flop"),
        ('[decision]\nkind = "luck"', "luck"),
        ("title = ", "cannot be read"),
        ('[classes.a]\nseverity = "huge"', "severity"),
        ('[classes.a]\ncolour = "red"', "colour"),
    ],
)
def test_a_mistake_in_a_preset_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(FlawsightError, match=said):
        load_preset(str(path))


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(FlawsightError, match="Did you mean 'casting'"):
        load_preset("castings")


def test_pictures_of_another_product_are_refused_by_name() -> None:
    sample = Sample(Path("a.png"), "bolt", "set", "g")
    with pytest.raises(DataError, match="no class for: bolt"):
        load_preset("batik").relabel([sample])


def test_own_pictures_get_a_preset_and_a_model_that_names_its_classes(castings: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for source, name in (("ok_front", "copper"), ("def_front", "zinc")):
        (own / name).mkdir(parents=True)
        for path in (castings / source).iterdir():
            (own / name / path.name).write_bytes(path.read_bytes())
    preset = tmp_path / "metals.toml"
    said = CliRunner().invoke(
        main, ["new-preset", str(own), "--out", str(preset)], input="Metals\nall\ncompact\n"
    )
    assert said.exit_code == 0, said.output
    flags = ["--epochs=1", "--image-size=64", "--batch-size=4", f"--out={tmp_path}"]
    run("train", f"--preset={preset}", f"--data={own}", *flags)
    inspector = Inspector(load_engine(tmp_path / "best_model_metals.onnx"))
    result = inspector.inspect_file(own / "zinc" / "0.png")
    assert inspector.metadata.product["title"] == "Metals" and not inspector.metadata.defects
    assert result.predicted_class in ("copper", "zinc") and result.defect_probability == 0
    assert result.verdict in ("accept", "review") and not result.boxes
    picture = tmp_path / "shown.png"
    run("show", str(tmp_path / "best_model_metals.onnx"), f"--data={own}", "--count=2", f"--out={picture}",
        f"--preset={preset}")  # fmt: skip
    assert picture.stat().st_size > 10_000


def test_a_kind_is_named_only_when_it_is_probable_enough() -> None:
    sure, unsure = identify({"a": 0.7, "b": 0.3}, 0.6), identify({"a": 0.5, "b": 0.5}, 0.6)
    assert (sure.verdict, unsure.verdict) == ("accept", "review")
    assert sure.defect_probability == 0 and percent(0.7) in sure.reason and percent(0.6) in unsure.reason


# Learning from whole pictures


def test_each_epoch_shows_each_picture_once_in_another_order() -> None:
    sampler = PictureSampler(10, batch=4, size=64, seed=1)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        orders.append([draw.index for batch in sampler for draw in batch])
    assert all(sorted(order) == list(range(10)) for order in orders) and orders[0] != orders[1]


def test_no_batch_is_a_single_picture() -> None:
    assert [len(batch) for batch in PictureSampler(9, batch=4, size=64, seed=1)] == [4, 4]
    assert min(len(batch) for batch in PictureSampler(9, batch=4, size=64, seed=1, batches=7)) >= 2


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_a_picture_and_none_changes_nothing(switch: str) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(40, 200, (48, 48, 3)).astype(np.uint8)
    found = [change(image, {switch}, np.random.default_rng(seed)) for seed in range(4)]
    assert all(changed.shape == image.shape and changed.dtype == np.uint8 for changed in found)
    assert any((changed != image).any() for changed in found)
    np.testing.assert_array_equal(change(image, (), np.random.default_rng(5)), image)


# Fine-tuning in steps


def test_fresh_weights_are_not_fine_tuned() -> None:
    config = TrainConfig(phases=PHASES)
    assert not fine_tuning(config).phases
    assert fine_tuning(replace(config, weights=Path("model.pth"))).phases == PHASES


def test_a_phase_lasts_its_share_of_the_run() -> None:
    assert phase_at(PHASES, 0.2)[0].train == "head" and phase_at(PHASES, 0.25) == (PHASES[1], 0.0)
    assert learning_rate(PHASES, 0.0) == pytest.approx(5e-5)  # each phase begins softly
    assert learning_rate(PHASES, 0.25) == pytest.approx(5e-6)
    assert max(learning_rate(PHASES, step / 1000) for step in range(250)) == pytest.approx(1e-3, rel=0.05)
    assert learning_rate(PHASES, 1.0) == pytest.approx(5e-6)


class NeverBetter(L.LightningModule):
    """Learns nothing, epoch after epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        return self.net(batch).sum()  # type: ignore[no-any-return]

    def validation_step(self, batch: torch.Tensor, _: int) -> None:
        self.log("val_score", 0.5, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("phases", "epochs"), [(PHASES, 2 + 2), ((), 2)])
def test_early_stopping_waits_for_the_last_phase(
    phases: tuple[Phase, ...], epochs: int, tmp_path: Path
) -> None:
    # The first validation sets the mark, the next is not better; of 8 epochs the last phase has those from 2.
    stopping = StopInLastPhase(TrainConfig(phases=phases, epochs=8, patience=1))
    loader = DataLoader(torch.zeros(2, 1), batch_size=1, num_workers=0)
    quiet: dict[str, Any] = {
        "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "num_sanity_val_steps": 0, "enable_checkpointing": False, "default_root_dir": tmp_path,
    }  # fmt: skip
    trainer = L.Trainer(max_epochs=8, accelerator="cpu", callbacks=[stopping], **quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a loader without workers
        trainer.fit(NeverBetter(), loader, loader)
    assert trainer.current_epoch == epochs


@pytest.mark.parametrize(("train", "learning"), [("head", 0), ("2", 2), ("all", 8)])
def test_only_the_last_layers_learn_and_frozen_batch_norms_keep_their_statistics(
    train: str, learning: int
) -> None:
    net = build("compact", 2).train()
    let_learn(net.backbone, train)
    layers = [layer for layer in net.backbone.modules() if list(layer.parameters(recurse=False))]
    assert [all(p.requires_grad for p in layer.parameters()) for layer in layers] == [
        number >= 8 - learning for number in range(8)
    ]
    first = net.backbone.net[1]
    before = first.running_mean.clone()
    net(torch.randn(2, 3, 32, 32))
    assert torch.equal(first.running_mean, before) == (learning < 8)


# Runs of before there were presets


def test_a_run_of_before_a_setting_was_there_goes_on_and_one_that_differs_does_not(
    castings: Path, tmp_path: Path
) -> None:
    files = sorted(castings.rglob("*.png"))
    manifest = make_manifest([Sample(path, path.parent.name, "set", path.as_posix()) for path in files], 0)
    config = TrainConfig(out=tmp_path, resume=True)
    known = {**config.to_dict(), "manifest_sha256": manifest.sha256}
    for name in ("preset", "view", "head", "augment", "phases", "class_weights", "decide", "folds", "fold"):
        del known[name]
    settings, last = config.run_folder / "config.json", config.run_folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    settings.write_text(json.dumps(known))
    _settle_run_folder(config, manifest, last)
    assert json.loads(settings.read_text()) == known and last.is_file()
    with pytest.raises(FlawsightError, match="other values of: head"):
        _settle_run_folder(replace(config, head="dense-128"), manifest, last)


def test_what_may_be_chosen_after_training_is_chosen_by_finishing_and_recorded(
    castings: Path, tmp_path: Path
) -> None:
    files = sorted(castings.rglob("*.png"))
    manifest = make_manifest([Sample(path, path.parent.name, "set", path.as_posix()) for path in files], 0)
    config = TrainConfig(out=tmp_path, data=(Path("castings"),), min_side=256, epochs=3)
    settings, last = config.run_folder / "config.json", config.run_folder / "checkpoints" / "last.ckpt"
    config.run_folder.mkdir(parents=True)
    _settle_run_folder(config, manifest, last)
    last.parent.mkdir(parents=True)
    last.touch()
    other = replace(config, min_side=320, take="last", keep_start=0.4)
    with pytest.raises(FlawsightError, match="other values of: keep_start, min_side, take"):
        _settle_run_folder(replace(other, resume=True), manifest, last)
    with pytest.raises(FlawsightError, match="other values of: epochs"):
        _settle_run_folder(replace(other, finish=True, epochs=4), manifest, last)
    assert "finish" not in json.loads(settings.read_text())  # what was refused leaves no trace
    _settle_run_folder(replace(other, finish=True), manifest, last)
    written = json.loads(settings.read_text())
    assert (written["min_side"], written["finish"]["min_side"]) == (256, 320)
    assert training_command(written) == (
        "python training.py --data castings --min-side 256 --epochs 3`, then the same with "
        "`--finish --keep-start 0.4 --min-side 320 --take last"
    )


def test_runs_of_two_seeds_may_share_their_division(castings: Path) -> None:
    def manifest_of(**seeds: int) -> str:
        return prepare_data(TrainConfig(data=(castings,), preset="casting", **seeds)).sha256

    assert manifest_of(seed=5, split_seed=3) == manifest_of(seed=3) != manifest_of(seed=5)


def test_to_keep_a_start_that_there_was_not_is_refused_before_training(
    castings: Path, tmp_path: Path
) -> None:
    with pytest.raises(FlawsightError, match="began with --weights"):
        fit(TrainConfig(data=(castings,), out=tmp_path, keep_start=0.4, implants=0))


def test_channels_are_pruned_of_efficientnets_alone(castings: Path, tmp_path: Path) -> None:
    with pytest.raises(FlawsightError, match="for EfficientNets alone"):
        fit(TrainConfig(data=(castings,), out=tmp_path, backbone="compact", prune=0.3, implants=0))


def test_weights_are_averaged_with_those_the_run_began_with() -> None:
    trained = {"weight": torch.tensor([1.0, 2.0]), "seen": torch.tensor(7)}
    begun = {"weight": torch.tensor([5.0, 2.0]), "seen": torch.tensor(3)}
    mixed = _averaged(trained, begun, 0.25)
    assert (mixed["weight"].tolist(), int(mixed["seen"])) == ([2.0, 2.0], 7)


def test_only_a_model_of_the_same_network_classes_and_division_is_averaged_with(tmp_path: Path) -> None:
    net, meta = build("compact", 3, 16), replace(METADATA, backbone="compact")
    for name, of, described in (
        ("same", build("compact", 3, 16), meta),
        ("classes", build("compact", 3, 16), replace(meta, classes=meta.classes[::-1])),
        ("head", build("compact", 3, 16, "linear"), meta),
        ("division", build("compact", 3, 16), replace(meta, manifest_sha256="of another seed")),
    ):
        save_torch(of, described, tmp_path / f"{name}.pth")
    weights = _weights_like(net, meta, tmp_path / "same.pth")
    assert weights.keys() == net.state_dict().keys()
    for name in ("classes", "head"):
        with pytest.raises(FlawsightError, match="another network than this run's, or tells other classes"):
            _weights_like(net, meta, tmp_path / f"{name}.pth")
    with pytest.raises(FlawsightError, match="may have seen parts of this run's test"):
        _weights_like(net, meta, tmp_path / "division.pth")
    with pytest.raises(FlawsightError, match=r"no model at .*missing\.pth"):
        _weights_like(net, meta, tmp_path / "missing.pth")
