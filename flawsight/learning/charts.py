"""Charts of a run: labelled, readable in print and by the colour-blind."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flawsight.atomic import replacing
from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.inspection.pictures import draw_pictures
from flawsight.learning.evaluate import Answers
from flawsight.learning.localisation import truth_mask
from flawsight.metadata import Decision
from flawsight.taxonomy import describe

# Okabe and Ito's palette: told apart with any kind of colour vision. Marks differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")
DPI = 110
MISTAKES = 16  # pictures on the sheet of mistakes


@contextmanager
def chart(
    path: Path, size: tuple[float, float], rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, Any]]:
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    try:
        yield figure, axes
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=DPI)
    finally:
        plt.close(figure)


def read_history(path: Path) -> dict[str, list[tuple[int, float]]]:
    """A CSV log as ``{metric: [(epoch from 1, value), ...]}``.

    A resumed run has earlier logs ``<stem>-NNN.csv`` beside it; of an epoch run twice the later wins.
    """
    table: dict[str, dict[int, float]] = {}
    for part in (*sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")), path):
        with part.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if name not in ("epoch", "step") and value:
                        table.setdefault(name, {})[int(row["epoch"]) + 1] = float(value)
    return {name: sorted(values.items()) for name, values in table.items()}


def draw_history(history: Mapping[str, Sequence[tuple[int, float]]], folder: Path) -> None:
    """``accuracy_curve.png``, ``loss_curve.png`` and ``val_metrics.png``."""
    _curves(
        folder / "accuracy_curve.png",
        "Accuracy by epoch",
        "accuracy",
        {
            "training (crops, distorted)": history.get("train_accuracy", ()),
            "validation (whole samples)": history.get("val_accuracy", ()),
        },
        limits=(0, 1.02),
    )
    _curves(
        folder / "loss_curve.png",
        "Loss by epoch",
        "loss",
        {
            "training (answer + class map)": history.get("train_loss", ()),
            "validation (answer)": history.get("val_loss", ()),
        },
    )
    skills = {
        f"{name.split('/')[1]}: {label}": values
        for name, values in sorted(history.items())
        for metric, label in (
            ("balanced_accuracy", "balanced accuracy"),
            ("average_precision", "average precision"),
        )
        if name.startswith("val/") and name.endswith("/" + metric)
    }
    _curves(
        folder / "val_metrics.png",
        "Validation metrics by epoch",
        "value",
        {**skills, "mean of all (keeps the checkpoint)": history.get("val_score", ())},
        limits=(0, 1.02),
    )


def draw_class_distribution(counts: Mapping[str, Mapping[str, int]], folder: Path) -> None:
    """``class_distribution.png``: samples of each class in each split."""
    names = list(counts)
    with chart(folder / "class_distribution.png", (9, 0.32 * len(names) + 1.8)) as (figure, ax):
        left = np.zeros(len(names))
        for split, colour, hatch in zip(("train", "val", "test"), COLOURS, ("", "//", ".."), strict=False):
            values = np.array([counts[name][split] for name in names])
            ax.barh(names, values, left=left, label=split, color=colour, hatch=hatch, edgecolor="white")
            left += values
        for y, total in enumerate(left):
            ax.text(total, y, f" {int(total)}", va="center", fontsize=8)
        ax.invert_yaxis()
        ax.set(title="Samples of each class", xlabel="samples")
        figure.legend(loc="outside lower center", ncols=3)
        ax.margins(x=0.1)


def draw_confusion(confusion: Mapping[str, Any], folder: Path) -> None:
    """``confusion_matrix.png`` of the test split; shade is the share of the row."""
    names, matrix = confusion["classes"], np.array(confusion["matrix"])
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    side = 0.42 * len(names) + 3
    with chart(folder / "confusion_matrix.png", (side, side)) as (figure, ax):
        picture = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        for y, x in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[y, x] > 0.5 else "black"
            ax.text(x, y, str(matrix[y, x]), ha="center", va="center", fontsize=7, color=colour)
        ax.set(title="Test split: true class against answer", xlabel="answer", ylabel="true class")
        figure.colorbar(picture, ax=ax, label="share of the true class", shrink=0.7)


def draw_per_dataset(datasets: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """``per_dataset_accuracy.png`` with 95 % intervals."""
    metrics = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "average_precision": "defect AP",
    }
    names = list(datasets)
    with chart(folder / "per_dataset_accuracy.png", (1.8 * len(names) + 3, 4.6)) as (figure, ax):
        width = 0.8 / len(metrics)
        for i, (metric, label) in enumerate(metrics.items()):
            for x, name in enumerate(names):
                if metric not in datasets[name]:
                    continue
                value, (low, high) = datasets[name][metric]["value"], datasets[name][metric]["interval"]
                place = x + (i - 1) * width
                ax.bar(place, value, width * 0.9, color=COLOURS[i], label=label)
                ax.vlines(place, low, high, color="black", linewidth=1)
                ax.text(place, high + 0.015, f"{value:.3f}", ha="center", rotation=90, fontsize=8)
        ax.set_xticks(range(len(names)), names)
        ax.set(title="Test split, with 95 % intervals", ylabel="value", ylim=(0, 1.16))
        found = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))  # one entry a metric
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(metrics))


def draw_explanations(inspector: Inspector, samples: Sequence[Sample], path: Path) -> None:
    """A grid: picture, heat map, boxes, edges and true place of one sample a row."""
    titles = ("picture", "heat map (an explanation)", "boxes", "edges in the hot region", "truth")
    with chart(path, (11.5, 2.35 * len(samples) + 0.5), len(samples), len(titles)) as (_, grid):
        rows = np.atleast_2d(grid)
        for ax, title in zip(rows[0], titles, strict=True):
            ax.set_title(title, fontsize=9)
        for row, sample in zip(rows, samples, strict=True):
            pixels = sample_pixels(sample)
            inspection = inspector.inspect(pixels, name=sample.path.name)
            pictures = draw_pictures(inspection)
            shown = [pictures[name] for name in ("original", "heatmap", "boxes", "edges")]
            shown.append(_truth_picture(sample, pixels.shape[:2]))
            for ax, picture in zip(row, shown, strict=True):
                ax.imshow(picture)
                ax.set_xticks([])
                ax.set_yticks([])
            answer = describe(inspection.predicted_class).title
            row[0].set_ylabel(
                f"is: {describe(sample.class_id).title}\n{inspection.verdict}: {answer}\n"
                f"defect {inspection.defect_probability:.0%}",
                fontsize=8,
            )


def draw_decisions(
    curves: Mapping[str, Sequence[Any]], decision: Decision, costs: Costs, folder: Path
) -> None:
    """``reliability.png`` and ``cost_curve.png`` from the figures' ``curves``."""
    draw_reliability(
        np.array(curves["confidence"]), np.array(curves["right"], bool), folder / "reliability.png"
    )
    draw_cost(
        np.array(curves["mass"]), np.array(curves["truth"], bool), decision, costs, folder / "cost_curve.png"
    )


def draw_reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], path: Path, bins: int = 15
) -> None:
    """Reliability diagram over bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    with chart(path, (5, 5)) as (_, ax):
        ax.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
        x = [confidence[part].mean() for part in parts]
        y = [right[part].mean() for part in parts]
        ax.plot(x, y, marker="o", color=COLOURS[0], label=f"{len(parts)} bins of equal mass")
        ax.set(
            title="Reliability, test split",
            xlabel="confidence",
            ylabel="accuracy",
            xlim=(0, 1),
            ylim=(0, 1.02),
        )
        ax.legend(loc="upper left")


def draw_cost(
    mass: NDArray[np.floating], truth: NDArray[np.bool_], decision: Decision, costs: Costs, path: Path
) -> None:
    """Escapes, overkill and their price per part, were everything from one threshold on rejected.

    Args:
        mass: (N,) defect probabilities.
        truth: (N,) whether the part is defective.
    """
    if truth.all() or not truth.any():
        return
    levels = np.linspace(0, 1, 201)
    escapes = (mass[truth][None] < levels[:, None]).mean(1)
    overkill = (mass[~truth][None] >= levels[:, None]).mean(1)
    prevalence = truth.mean() if costs.prevalence is None else costs.prevalence
    price = prevalence * costs.escape * escapes + (1 - prevalence) * costs.overkill * overkill
    with chart(path, (8, 5)) as (figure, ax):
        ax.plot(levels, escapes, color=COLOURS[1], label="escape rate")
        ax.plot(levels, overkill, color=COLOURS[0], linestyle="--", label="overkill rate")
        ax.axvspan(decision.accept_below, decision.reject_from, alpha=0.15, color="grey", label="review band")
        ax.set(title="Test split: what a threshold costs", xlabel="defect probability", ylabel="rate")
        ax.set(xlim=(0, 1), ylim=(0, 1.02))
        cost = ax.twinx()
        cost.plot(levels, price, color=COLOURS[2], linestyle=":", label="price per part")
        cost.set(
            ylabel=f"price per part (escape {costs.escape:g}, overkill {costs.overkill:g}, "
            f"{prevalence:.0%} defective)",
            ylim=(0, None),
        )
        figure.legend(loc="outside lower center", ncols=4)


def draw_mistakes(inspector: Inspector, answers: Answers, path: Path) -> None:
    """A sheet of the pictures whose true class got the least probability, the worst first."""
    given = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    worst = [i for i in np.argsort(given, kind="stable") if not answers.right[i]][:MISTAKES]
    if not worst:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    columns = 4
    rows = -(-len(worst) // columns)
    with chart(path, (3.1 * columns, 3.4 * rows), rows, columns) as (_, grid):
        for ax in np.ravel(grid):
            ax.axis("off")
        for ax, i in zip(np.ravel(grid), worst, strict=False):
            sample = answers.items[i].sample
            inspection = inspector.inspect(sample_pixels(sample), name=sample.path.name)
            ax.imshow(draw_pictures(inspection)["heatmap"])
            ax.set_title(
                f"is {sample.class_id} ({given[i]:.0%})\n"
                f"{inspection.verdict}: {inspection.predicted_class} ({inspection.confidence:.0%})",
                fontsize=8,
            )


def _curves(
    path: Path,
    title: str,
    label: str,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    limits: tuple[float, float] | None = None,
) -> None:
    with chart(path, (8, 4.5 + 0.1 * len(lines))) as (figure, ax):
        for i, (name, values) in enumerate(lines.items()):
            if values:
                _line(ax, name, values, i)
        ax.set(title=title, xlabel="epoch", ylabel=label)
        if limits:
            ax.set_ylim(*limits)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if any(lines.values()):
            figure.legend(loc="outside lower center", ncols=2, fontsize=8)


def _line(ax: Axes, name: str, values: Sequence[tuple[int, float]], index: int) -> None:
    x, y = zip(*values, strict=True)
    colour, mark = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
    style = "-" if index < len(COLOURS) else "--"
    ax.plot(x, y, label=name, color=colour, marker=mark, markersize=4, linestyle=style)


def _truth_picture(sample: Sample, shape: tuple[int, int]) -> NDArray[np.uint8]:
    mask = truth_mask(sample, shape)
    if mask is None:
        return np.full((*shape, 3), 32, np.uint8)
    return np.asarray(np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2), np.uint8)
