"""The model that the repository ships: it is whole, it agrees with itself and with what is written of it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawsight.cli.benchmark import figures_of
from flawsight.imaging import read_image
from flawsight.inspection.engines import load_engine, network_of
from flawsight.inspection.inspector import Inspector
from flawsight.learning.card import model_card
from flawsight.preprocessing import prepare
from flawsight.taxonomy import load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
ONNX, TORCH = ROOT / "best_model_unified.onnx", ROOT / "best_model_unified.pth"
SAMPLES = sorted(p for p in (ROOT / "sample").iterdir() if p.suffix in {".png", ".jpg"})


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector(load_engine(ONNX))


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    content = json.loads((ROOT / "results_unified.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_model_files_are_small_enough_to_live_in_the_repository() -> None:
    for path in (ONNX, TORCH):
        assert path.stat().st_size < 20e6


def test_onnx_and_torch_answer_alike_on_every_sample(inspector: Inspector) -> None:
    torch_engine = load_engine(TORCH)
    assert torch_engine.metadata == inspector.engine.metadata
    for path in SAMPLES:
        batch = prepare(read_image(path), inspector.metadata.preprocessing)[0][None]
        ours, theirs = inspector.engine.run(batch)[0], torch_engine.run(batch)[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1.0, float(np.abs(theirs).max())))


def test_the_torch_file_is_known_as_the_network_of_the_onnx_file(inspector: Inspector) -> None:
    assert network_of(load_engine(TORCH)) == network_of(inspector.engine)


def test_model_knows_every_class_of_the_taxonomy(inspector: Inspector) -> None:
    assert inspector.metadata.classes == tuple(load_taxonomy())


def test_samples_get_an_answer_of_their_own_family(inspector: Inspector) -> None:
    families = {"board": "DeepPCB", "texture": "DAGM", "tile": "Magnetic Tile"}
    for path in SAMPLES:
        answer = inspector.inspect_file(path).predicted_class
        assert load_taxonomy()[answer].dataset == families[path.name.split("_")[0]], path.name


def test_samples_are_answered_clearly_but_for_the_one_that_their_readme_names(inspector: Inspector) -> None:
    """The first thing a newcomer tries; ``sample/README.md`` says how they were chosen."""
    found = {path.stem: inspector.inspect_file(path) for path in SAMPLES}
    expected = {name: "accept" if "good" in name else "reject" for name in found} | {"tile_uneven": "review"}
    assert {name: one.verdict for name, one in found.items()} == expected
    assert all(one.boxes for one in found.values() if one.verdict == "reject")
    assert len(found["board_six_defects"].boxes) == 6


@pytest.mark.parametrize("shape", [(640, 640, 3), (768, 1024, 3)])
def test_a_blank_is_unknown_however_large(inspector: Inspector, shape: tuple[int, ...]) -> None:
    assert inspector.inspect(np.full(shape, 128, np.uint8), name="blank").verdict == "unknown"


def test_results_describe_this_very_model(inspector: Inspector, results: dict[str, object]) -> None:
    assert results["manifest_sha256"] == inspector.metadata.manifest_sha256
    assert results["classes"] == list(inspector.metadata.classes)


def test_model_card_says_what_was_measured(results: dict[str, object]) -> None:
    assert (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8") == model_card(results)


@pytest.mark.parametrize(
    "at",
    [
        ("overall", "accuracy", "value"),
        ("datasets", "DeepPCB", "localisation", "px_ap", "value"),
        ("classes", "MT_Crack", "recall"),
        ("boards", "recalls", "PCB_open"),
        ("templates", "boards", "map"),
        ("templates", "regions", "accuracy", "value"),
        ("unknown", "kinds", "drawn text", "foreign_caught"),
    ],
)
def test_the_benchmark_compares_whatever_the_card_prints(
    results: dict[str, Any], at: tuple[str, ...]
) -> None:
    other = deepcopy(results["test"])
    part = other
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] += 0.5
    published, measured = dict(figures_of(results["test"])), dict(figures_of(other))
    assert sum(measured[name] != value for name, value in published.items()) == 1
