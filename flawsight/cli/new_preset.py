"""``python -m flawsight new-preset``: look at a folder of pictures and write a preset for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import tomli_w

from flawsight.atomic import write_text
from flawsight.data.adapters import find_samples
from flawsight.data.samples import Sample
from flawsight.errors import FlawsightError
from flawsight.learning.backbones import BACKBONES, check_name, nearest_stride
from flawsight.taxonomy import NAMED_PERSON_DECIDES, describe

CROP_SIZE, WHOLE_SIZE = 160, 224


@click.command("new-preset")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; by default NAME.toml."
)
@click.option("--yes", is_flag=True, help="Ask nothing and take what is suggested.")
def new_preset(folder: Path | None, out: Path | None, yes: bool) -> None:
    """Write a preset for the pictures in FOLDER.

    FOLDER holds one folder a class, or pictures with boxes in the way of Pascal VOC, COCO or YOLO.
    """
    folder = folder or Path(click.prompt("Folder with the pictures"))
    samples = find_samples((folder,))
    found = Counter(sample.class_id for sample in samples)
    found.update({box.class_id: 0 for sample in samples for box in sample.boxes})
    click.echo(f"{len(samples)} pictures: " + ", ".join(f"{n} {name}" for name, n in sorted(found.items())))

    def ask(question: str, suggested: str) -> str:
        return suggested if yes else str(click.prompt(question, default=suggested)).strip()

    title = ask("What are they, in a few words", folder.resolve().name.replace("_", " ").capitalize())
    suggested = ",".join(sorted(name for name in found if not describe(name).is_defect))
    good = ask("Classes that are good, separated by commas; 'all' if none is a defect", suggested or "none")
    names = set(found) if good == "all" else {part.strip() for part in good.split(",")} - {"none", ""}
    if strangers := names - set(found):
        raise FlawsightError(f"There is no class {', '.join(sorted(strangers))} in {folder}.")
    backbone = ask(f"Backbone, one of {', '.join(BACKBONES)}", "efficientnet-b0")
    check_name(backbone)
    preset = content(title, samples, sorted(found), names, backbone)
    target = out or Path(f"{folder.resolve().name.lower().replace(' ', '-')}.toml")
    if target.exists():
        raise FlawsightError(f"{target} is there already. Name another file with --out, or remove it.")
    write_text(target, tomli_w.dumps(preset))
    click.echo(f"Written: {target}. Describe the classes in it, then train with:")
    click.echo(f"python training.py --preset {target} --data {folder}")


def content(
    title: str, samples: list[Sample], classes: list[str], good: set[str], backbone: str
) -> dict[str, object]:
    """What the file says. Where places are known, crops are learnt; else whole pictures."""
    located = any(sample.boxes or sample.mask for sample in samples)
    identify = good == set(classes)
    view = "crops" if located and not identify else "whole"
    training: dict[str, object] = {
        "view": view,
        "backbone": backbone,
        "stride": nearest_stride(backbone, 16 if view == "crops" else 32),
        "image_size": CROP_SIZE if view == "crops" else WHOLE_SIZE,
    }
    if view == "whole":
        training |= {"batches": 0, "batch_size": 16, "learning_rate": 1e-3}
        training |= {"augment": ["flip", "shift", "zoom", "contrast", "brightness"]}
    return {
        "title": title,
        "summary": f"{title}: {', '.join(classes)}.",
        "task": "identify" if identify else "inspect",
        "training": training,
        "decision": {"kind": "identify" if identify else "costs"},
        "classes": {name: _described(name, name in good) for name in classes},
    }


def _described(name: str, good: bool) -> dict[str, object]:
    return {
        "from": [name],
        "title": name.replace("_", " ").capitalize(),
        "description": "Say here what is seen.",
        "is_defect": not good,
        "severity": "none" if good else "unknown",
        "recommended_action": "Release to the next step." if good else NAMED_PERSON_DECIDES,
    }
