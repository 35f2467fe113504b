"""Charts: each is drawn from its figures alone, readable, and told apart by more than colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from flawsight.data.samples import LabelledBox, Sample
from flawsight.imaging import encode_png
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.learning import charts
from flawsight.learning.evaluate import inspect_samples
from flawsight.metadata import Decision

HISTORY = {
    "train_loss": [(1, 3.0), (2, 2.0)],
    "val_loss": [(1, 3.2), (2, 2.6)],
    "train_accuracy": [(1, 0.2), (2, 0.6)],
    "val_accuracy": [(1, 0.1), (2, 0.5)],
    "val_score": [(1, 0.3), (2, 0.7)],
    "val/DAGM/balanced_accuracy": [(1, 0.2), (2, 0.6)],
    "val/DAGM/average_precision": [(1, 0.4), (2, 0.8)],
    "val/DeepPCB/balanced_accuracy": [(1, 0.1), (2, 0.2)],
}
COUNTS = {"MT_Crack": {"train": 6, "val": 2, "test": 3}, "MT_Free": {"train": 60, "val": 15, "test": 25}}
RATE = {"value": 0.9, "interval": [0.8, 0.95]}
DATASETS: dict[str, dict[str, Any]] = {
    "DAGM": {"accuracy": RATE, "balanced_accuracy": RATE, "average_precision": RATE},
    "DeepPCB": {"accuracy": RATE, "balanced_accuracy": RATE},
}
CONFUSION = {"classes": ["MT_Crack", "MT_Free"], "matrix": [[5, 1], [0, 12]]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that were closed, still there to look into."""
    kept: list[Figure] = []
    close = plt.close
    monkeypatch.setattr(plt, "close", kept.append)
    yield kept
    for figure in kept:
        close(figure)


def texts(ax: Axes) -> set[str]:
    return {text.get_text() for text in ax.texts}


def labels(ax: Axes) -> list[str]:
    (legend,) = ax.get_figure().legends
    return [text.get_text() for text in legend.get_texts()]


def reliability(folder: Path) -> None:
    confidence = np.linspace(0.3, 1, 60)
    charts.draw_reliability(confidence, confidence > 0.5, folder / "reliability.png")


MASS, TRUTH = np.array([0.1, 0.2, 0.7, 0.9]), np.array([False, True, False, True])
BAND = Decision(accept_below=0.15, reject_from=0.8)


def cost(folder: Path) -> None:
    charts.draw_cost(MASS, TRUTH, BAND, Costs(escape=10, overkill=2), folder / "cost_curve.png")


@pytest.mark.parametrize(
    ("draw", "names"),
    [
        (lambda f: charts.draw_history(HISTORY, f), {"accuracy_curve", "loss_curve", "val_metrics"}),
        (lambda f: charts.draw_class_distribution(COUNTS, f), {"class_distribution"}),
        (lambda f: charts.draw_confusion(CONFUSION, f), {"confusion_matrix"}),
        (lambda f: charts.draw_per_dataset(DATASETS, f), {"per_dataset_accuracy"}),
        (reliability, {"reliability"}),
        (cost, {"cost_curve"}),
    ],
)
def test_every_chart_has_a_title_named_axes_and_a_readable_size(
    draw: Callable[[Path], None], names: set[str], tmp_path: Path, drawn: list[Figure]
) -> None:
    draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in names}
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    for figure in drawn:
        ax = figure.axes[0]
        assert ax.get_title()
        assert ax.get_xlabel() or ax.get_xticklabels()
        assert ax.get_ylabel() or ax.get_yticklabels()


def test_curves_show_the_values_by_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    charts.draw_history(HISTORY, tmp_path)
    by_title = {figure.axes[0].get_title(): figure.axes[0] for figure in drawn}
    training, validation = by_title["Loss by epoch"].get_lines()
    assert list(training.get_xdata()) == [1, 2] and list(training.get_ydata()) == [3.0, 2.0]
    assert list(validation.get_ydata()) == [3.2, 2.6]
    skills = by_title["Validation metrics by epoch"]
    assert len(skills.get_lines()) == 4
    assert "DAGM: average precision" in labels(skills)


def test_lines_differ_in_marks_too_and_in_brightness_against_the_paper(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    many = {f"val/Set {n}/balanced_accuracy": [(1, n / 20), (2, n / 10)] for n in range(8)}
    charts.draw_history({**HISTORY, **many}, tmp_path)
    lines = drawn[-1].axes[0].get_lines()
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == 12
    assert len({line.get_marker() for line in lines}) >= 6
    for colour in charts.COLOURS:
        assert sum(to_rgb(colour)) / 3 < 0.75, f"{colour} is too pale on white"


def test_a_history_of_one_epoch_or_without_a_metric_is_drawn(tmp_path: Path) -> None:
    charts.draw_history({"train_loss": [(1, 3.0)], "val_score": [(1, 0.3)]}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_each_bar_of_the_distribution_says_how_many(tmp_path: Path, drawn: list[Figure]) -> None:
    charts.draw_class_distribution(COUNTS, tmp_path)
    ax = drawn[0].axes[0]
    assert texts(ax) == {" 11", " 100"}
    assert labels(ax) == ["train", "val", "test"]
    assert len({bar.get_hatch() for bar in ax.patches}) == 3


def test_the_confusion_matrix_shows_counts_and_shades_by_row(tmp_path: Path, drawn: list[Figure]) -> None:
    charts.draw_confusion(CONFUSION, tmp_path)
    ax = drawn[0].axes[0]
    assert texts(ax) == {"5", "1", "12"}
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[5 / 6, 1 / 6], [0, 1]])
    assert "true" in ax.get_ylabel() and "answer" in ax.get_xlabel()


def test_bars_of_a_dataset_carry_their_intervals(tmp_path: Path, drawn: list[Figure]) -> None:
    charts.draw_per_dataset(DATASETS, tmp_path)
    ax = drawn[0].axes[0]
    assert len(ax.patches) == len(ax.collections) == 5  # DeepPCB has no average precision
    for whisker in ax.collections:
        (path,) = whisker.get_paths()
        assert sorted(path.vertices[:, 1]) == [0.8, 0.95]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["DAGM", "DeepPCB"]


def test_a_calibrated_model_lies_on_the_diagonal(tmp_path: Path, drawn: list[Figure]) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 30_000)
    charts.draw_reliability(confidence, rng.random(30_000) < confidence, tmp_path / "r.png")
    _, curve = drawn[0].axes[0].get_lines()
    np.testing.assert_allclose(curve.get_xdata(), curve.get_ydata(), atol=0.05)


def test_an_earlier_log_beside_it_fills_what_a_resumed_one_lacks(tmp_path: Path) -> None:
    (tmp_path / "metrics-000.csv").write_text("epoch,step,val_score,train_loss\n0,1,0.1,\n0,1,,3\n1,3,0.9,\n")
    (tmp_path / "metrics-001.csv").write_text("epoch,step,val_score\n1,3,0.2\n")
    (tmp_path / "metrics.csv").write_text("epoch,step,val_score\n2,5,0.3\n")
    history = charts.read_history(tmp_path / "metrics.csv")
    assert history == {"val_score": [(1, 0.1), (2, 0.2), (3, 0.3)], "train_loss": [(1, 3.0)]}


def test_the_grid_shows_each_sample_with_its_truth(
    tmp_path: Path, inspector: Inspector, good_part: Any, scratched_part: Any, drawn: list[Figure]
) -> None:
    samples = []
    for name, pixels, class_id, boxes in (
        ("bad", scratched_part, "MT_Crack", (LabelledBox(150, 40, 200, 150, "MT_Crack"),)),
        ("good", good_part, "MT_Free", ()),
    ):
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
        samples.append(Sample(tmp_path / f"{name}.png", class_id, "Magnetic Tile", name, boxes=boxes))
    charts.draw_explanations(inspector, samples, tmp_path / "grid.png")
    axes = drawn[0].axes
    assert len(axes) == 10
    shown = [np.asarray(ax.images[0].get_array()) for ax in axes]
    assert np.array_equal(shown[0], scratched_part) and np.array_equal(shown[5], good_part)
    assert not np.array_equal(shown[1], shown[0]) and not np.array_equal(shown[2], shown[0])
    truth = shown[4][..., 0] > 0
    assert truth[40:150, 150:200].all() and truth.sum() == 110 * 50
    assert not (shown[9] > 127).any()
    assert "is: Crack\nreject" in axes[0].get_ylabel()
    titles = [ax.get_title() for ax in axes]
    assert all(titles[:5]) and len(set(titles[:5])) == 5 and not any(titles[5:])


def test_a_grid_of_a_single_sample_is_drawn(tmp_path: Path, inspector: Inspector, good_part: Any) -> None:
    (tmp_path / "good.png").write_bytes(encode_png(good_part))
    sample = Sample(tmp_path / "good.png", "MT_Free", "Magnetic Tile", "g")
    charts.draw_explanations(inspector, [sample], tmp_path / "grid.png")
    assert (tmp_path / "grid.png").is_file()


def test_the_cost_curve_prices_escapes_and_overkill(tmp_path: Path, drawn: list[Figure]) -> None:
    cost(tmp_path)
    rates, prices = drawn[0].axes
    escapes, overkill = (line.get_ydata() for line in rates.get_lines()[:2])
    price = prices.get_lines()[0].get_ydata()
    assert (escapes[0], escapes[-1]) == (0, 1)
    assert (overkill[0], overkill[-1]) == (1, 0)
    assert price[0] == pytest.approx(0.5 * 2)  # all good parts rejected
    assert price[-1] == pytest.approx(0.5 * 10)  # all defective ones accepted
    assert price[100] == pytest.approx(0.5 * 0.5 * 10 + 0.5 * 0.5 * 2)


def test_the_sheet_of_mistakes_shows_the_worst_first_and_nothing_that_is_right(
    inspector: Inspector,
    good_part: NDArray[np.uint8],
    scratched_part: NDArray[np.uint8],
    tmp_path: Path,
    drawn: list[Figure],
) -> None:
    samples = []
    for name, pixels, class_id in (
        ("good", good_part, "MT_Free"),
        ("wrong", good_part, "MT_Crack"),
        ("worse", scratched_part, "MT_Free"),
    ):
        path = tmp_path / f"{name}.png"
        path.write_bytes(encode_png(pixels))
        samples.append(Sample(path, class_id, "Magnetic Tile", name))
    answers = inspect_samples(inspector, samples)
    charts.draw_mistakes(inspector, answers, tmp_path / "mistakes.png")
    titles = [ax.get_title() for ax in drawn[0].axes if ax.get_title()]
    given = answers.probabilities[np.arange(3), answers.labels]
    worst = [samples[i].class_id for i in np.argsort(given) if not answers.right[i]]
    assert len(titles) == 2
    assert [title.split()[1] for title in titles] == worst
    charts.draw_mistakes(inspector, answers.of(answers.right), tmp_path / "mistakes.png")
    assert not (tmp_path / "mistakes.png").exists()
