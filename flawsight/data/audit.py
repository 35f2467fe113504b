"""What is in a data folder, what is wrong with it, and what a training run does about each.

``audit`` looks and counts; printing is the command line's work.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.data.duplicates import Copies, Picture, Progress, find_copies, read_pictures
from flawsight.data.samples import Sample
from flawsight.data.splits import SPLITS, Manifest, make_manifest
from flawsight.errors import ImageError
from flawsight.imaging import read_image
from flawsight.taxonomy import describe, load_taxonomy

SCHEMA = "flawsight.audit/1"
MASK_LEVEL = 127  # brighter pixels of a mask are the defect, as in training


@dataclass(frozen=True)
class ClassRow:
    """Counts of one class of one dataset. ``splits``: samples in train, val and test."""

    dataset: str
    class_id: str
    is_defect: bool
    images: int
    samples: int
    groups: int
    splits: dict[str, int]


@dataclass(frozen=True)
class DatasetRow:
    """One dataset. Each triple is (least, median, greatest); sides in pixels, group sizes in images.

    ``mixed_groups`` counts groups with samples of more than one class.
    """

    dataset: str
    images: int
    width: tuple[int, int, int]
    height: tuple[int, int, int]
    groups: int
    group_size: tuple[int, int, int]
    mixed_groups: int


@dataclass(frozen=True)
class Finding:
    """Something to know before training.

    Attributes:
        kind: stable text for programs, e.g. ``unreadable``.
        what: what was found, one sentence.
        action: what a training run does about it, or what you should do.
        stops: whether no run should start before it is put right.
        where: the files or classes concerned, one line each.
    """

    kind: str
    what: str
    action: str
    stops: bool = False
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """The result; ``manifest`` is the division that training would use, ``None`` if nothing is readable."""

    images: int
    samples: int
    classes: tuple[ClassRow, ...]
    datasets: tuple[DatasetRow, ...]
    copies: tuple[Copies, ...]
    findings: tuple[Finding, ...]
    manifest: Manifest | None

    @property
    def trainable(self) -> bool:
        return not any(finding.stops for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON object of schema ``flawsight.audit/1``."""
        return {
            "schema": SCHEMA,
            "trainable": self.trainable,
            "images": self.images,
            "samples": self.samples,
            "manifest_sha256": self.manifest.sha256 if self.manifest else None,
            "classes": [asdict(row) for row in self.classes],
            "datasets": [asdict(row) for row in self.datasets],
            "copies": [
                {**asdict(pair), "first": str(pair.first), "second": str(pair.second)} for pair in self.copies
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


def audit(
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    roots: Iterable[Path] = (),
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Look at every file of ``samples``, really decoding it.

    Args:
        samples: what the adapters found.
        seed: of the division into train, val and test.
        roots: data folders; paths in the manifest are relative to them.
        skip_unreadable: leave unreadable files out instead of stopping.
        progress: called after each file.
    """
    pictures, unreadable = read_pictures([sample.path for sample in samples], progress)
    masks, unreadable_masks = _read_masks(samples)
    unreadable |= unreadable_masks
    copies = find_copies(list(pictures.values()))
    usable = [sample for sample in samples if not unreadable.keys() & {sample.path, sample.mask}]
    manifest = None
    if usable:
        there = {sample.path for sample in usable}
        pairs = [(pair.first, pair.second) for pair in copies if {pair.first, pair.second} <= there]
        manifest = make_manifest(usable, seed, roots, pairs)
    findings = [
        *_unreadable(unreadable, skip_unreadable),
        *_copies(copies, samples),
        *_conflicts(copies, samples),
        *_masks(usable, pictures, masks),
        *_places(usable, pictures),
        *_classes(usable, manifest),
    ]
    return Audit(
        images=len({sample.path for sample in samples}),
        samples=len(samples),
        classes=_class_rows(manifest),
        datasets=_dataset_rows(manifest, pictures),
        copies=tuple(copies),
        findings=tuple(findings),
        manifest=manifest,
    )


def _unreadable(unreadable: dict[Path, str], skip: bool) -> list[Finding]:
    if not unreadable:
        return []
    return [
        Finding(
            "unreadable",
            f"{_count(len(unreadable), 'file')} cannot be read.",
            "Left out of the run, as --skip-unreadable asks."
            if skip
            else "Stops the run. Repair or remove them, or leave them out with --skip-unreadable.",
            stops=not skip,
            where=tuple(f"{path}: {reason}" for path, reason in unreadable.items()),
        )
    ]


def _copies(copies: Sequence[Copies], samples: Sequence[Sample]) -> list[Finding]:
    group = {sample.path: sample.group for sample in samples}
    published = {sample.path: sample.publisher_split for sample in samples}
    findings = []
    for exact, kind, wording in (
        (True, "exact_duplicates", "with the same bytes"),
        (False, "near_duplicates", "that show nearly the same picture, maybe flipped or turned"),
    ):
        pairs = [pair for pair in copies if pair.exact is exact]
        if not pairs:
            continue
        # Those that tell something new come first: copies that the layout itself keeps apart.
        pairs.sort(key=lambda pair: group[pair.first] == group[pair.second])
        apart = sum(group[pair.first] != group[pair.second] for pair in pairs)
        across = sum(published[pair.first] != published[pair.second] for pair in pairs)
        border = f", {across} across the publisher's own train/test border" if across else ""
        findings.append(
            Finding(
                kind,
                f"{_count(len(pairs), 'pair')} of files {wording}: {apart} from different groups{border}.",
                "Their groups are joined, so no two copies are in different splits."
                if apart
                else "They are in one group already, so never in different splits.",
                where=tuple(f"{pair.first} = {pair.second}" for pair in pairs),
            )
        )
    return findings


def _conflicts(copies: Sequence[Copies], samples: Sequence[Sample]) -> list[Finding]:
    """Copies with different labels. Regions of one board rightly differ, so only whole images count."""
    label = {sample.path: sample.class_id for sample in samples if sample.region is None}
    pairs = [
        pair
        for pair in copies
        if label.keys() >= {pair.first, pair.second} and label[pair.first] != label[pair.second]
    ]
    if not pairs:
        return []
    return [
        Finding(
            "conflicts",
            f"{_count(len(pairs), 'pair')} of copies under different classes.",
            "Both labels are learned, which teaches neither. Look at them and correct the wrong one, or "
            "leave them out of training (--leave-out).",
            where=tuple(
                f"{pair.first} ({label[pair.first]}) = {pair.second} ({label[pair.second]})" for pair in pairs
            ),
        )
    ]


def _read_masks(samples: Sequence[Sample]) -> tuple[dict[Path, NDArray[np.bool_]], dict[Path, str]]:
    """Masks by path, True on the defect; and the reasons of those that cannot be read."""
    masks: dict[Path, NDArray[np.bool_]] = {}
    unreadable: dict[Path, str] = {}
    for path in dict.fromkeys(sample.mask for sample in samples if sample.mask is not None):
        try:
            masks[path] = read_image(path).max(axis=2) > MASK_LEVEL
        except ImageError as error:
            unreadable[path] = str(error)
    return masks, unreadable


def _masks(
    samples: Sequence[Sample], pictures: dict[Path, Picture], masks: dict[Path, NDArray[np.bool_]]
) -> list[Finding]:
    missing, other_size, empty = [], [], []
    for sample in samples:
        if sample.mask is None:
            if describe(sample.class_id).is_defect and not sample.boxes:
                missing.append(f"{sample.path}")
            continue
        picture, mask = pictures[sample.path], masks[sample.mask]
        if mask.shape != (picture.height, picture.width):
            size = f"{mask.shape[1]}x{mask.shape[0]}"
            other_size.append(f"{sample.mask}: {size}, its image {picture.width}x{picture.height}")
        if not mask.any():
            empty.append(f"{sample.mask}")
    table = (
        (
            "mask_missing",
            missing,
            "of a defect without mask or boxes",
            "Teaches the class of the image, but not the place of the defect.",
        ),
        (
            "mask_size",
            other_size,
            "whose mask has another size",
            "The mask is stretched over the image. Check that it belongs to it.",
        ),
        (
            "mask_empty",
            empty,
            "of a defect whose mask marks nothing",
            "The place of the defect counts as unknown. Mark it, or remove the image.",
        ),
    )
    return [
        Finding(kind, f"{_count(len(where), 'image')} {what}.", action, where=tuple(where))
        for kind, where, what, action in table
        if where
    ]


def _places(samples: Sequence[Sample], pictures: dict[Path, Picture]) -> list[Finding]:
    """Boxes and regions that do not lie inside their image."""
    boxes: dict[str, None] = {}
    regions: dict[str, None] = {}
    for sample in samples:
        picture = pictures[sample.path]
        for box in sample.boxes:
            corners = (box.x1, box.y1, box.x2, box.y2)
            if not _inside(corners, picture):
                boxes[f"{sample.path}: {corners} {box.class_id}"] = None
        if sample.region is not None and not _inside(sample.region, picture):
            regions[f"{sample.path}: {sample.region}"] = None
    size = "x1 < x2 and y1 < y2 inside the image"
    findings = []
    if boxes:
        findings.append(
            Finding(
                "box_outside",
                f"{_count(len(boxes), 'box', 'boxes')} not with {size}.",
                "What lies outside is not learned. Correct the corners.",
                where=tuple(boxes),
            )
        )
    if regions:
        findings.append(
            Finding(
                "region_outside",
                f"{_count(len(regions), 'region')} not with {size}.",
                "Stops the run. The image is smaller than its labels say: fetch it again.",
                stops=True,
                where=tuple(regions),
            )
        )
    return findings


def _classes(samples: Sequence[Sample], manifest: Manifest | None) -> list[Finding]:
    present = {sample.class_id for sample in samples}
    findings = []
    if len(present) < 2:
        findings.append(
            Finding(
                "too_few_classes",
                f"{_count(len(present), 'class', 'classes')} with readable images; a model needs two.",
                "Stops the run. Add images of another class.",
                stops=True,
                where=tuple(sorted(present)),
            )
        )
    rows = _class_rows(manifest)
    empty = [split for split in SPLITS if not any(row.splits[split] for row in rows)]
    if empty and samples:
        findings.append(
            Finding(
                "empty_split",
                f"No sample is left for {' and '.join(empty)}.",
                "Stops the run. Add images of other origin: one group is never divided.",
                stops=True,
            )
        )
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        totals[row.class_id].update(row.splits)
    thin = {
        class_id: [split for split in SPLITS if not splits[split] and split not in empty]
        for class_id, splits in totals.items()
    }
    if any(thin.values()):
        findings.append(
            Finding(
                "thin_classes",
                f"{_count(sum(map(bool, thin.values())), 'class', 'classes')} without samples in some split.",
                "Without training samples it is not learned, without test samples not measured. "
                "Add images of other origin.",
                where=tuple(
                    f"{name}: none in {' or '.join(missing)}" for name, missing in thin.items() if missing
                ),
            )
        )
    families = {describe(class_id).dataset for class_id in present}
    absent = [
        info for info in load_taxonomy().values() if info.dataset in families and info.id not in present
    ]
    if absent:
        findings.append(
            Finding(
                "absent_classes",
                f"{_count(len(absent), 'class', 'classes')} of {_names(families)} without any image.",
                "The model will not know them. Add images, or generate them with "
                "`python -m flawsight data generate`.",
                where=tuple(info.id for info in absent),
            )
        )
    return findings


def _class_rows(manifest: Manifest | None) -> tuple[ClassRow, ...]:
    if manifest is None:
        return ()
    rows: defaultdict[tuple[str, str], list[tuple[Sample, str]]] = defaultdict(list)
    for sample, entry in zip(manifest.samples, manifest.entries, strict=True):
        rows[sample.dataset, sample.class_id].append((sample, entry.split))
    order = {class_id: position for position, class_id in enumerate(load_taxonomy())}
    keys = sorted(rows, key=lambda key: (key[0], order.get(key[1], len(order)), key[1]))
    return tuple(
        ClassRow(
            dataset=dataset,
            class_id=class_id,
            is_defect=describe(class_id).is_defect,
            images=len({sample.path for sample, _ in rows[dataset, class_id]}),
            samples=len(rows[dataset, class_id]),
            groups=len({sample.group for sample, _ in rows[dataset, class_id]}),
            splits={name: sum(split == name for _, split in rows[dataset, class_id]) for name in SPLITS},
        )
        for dataset, class_id in keys
    )


def _dataset_rows(manifest: Manifest | None, pictures: dict[Path, Picture]) -> tuple[DatasetRow, ...]:
    if manifest is None:
        return ()
    rows = []
    for dataset in sorted({sample.dataset for sample in manifest.samples}):
        files: defaultdict[str, set[Path]] = defaultdict(set)
        classes: defaultdict[str, set[str]] = defaultdict(set)
        for sample in manifest.samples:
            if sample.dataset == dataset:
                files[sample.group].add(sample.path)
                classes[sample.group].add(sample.class_id)
        seen = [pictures[path] for path in set().union(*files.values())]
        rows.append(
            DatasetRow(
                dataset=dataset,
                images=len(seen),
                width=_spread([picture.width for picture in seen]),
                height=_spread([picture.height for picture in seen]),
                groups=len(files),
                group_size=_spread([len(paths) for paths in files.values()]),
                mixed_groups=sum(len(names) > 1 for names in classes.values()),
            )
        )
    return tuple(rows)


def _inside(corners: tuple[int, int, int, int], picture: Picture) -> bool:
    x1, y1, x2, y2 = corners
    return 0 <= x1 < x2 <= picture.width and 0 <= y1 < y2 <= picture.height


def _spread(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), round(median(values)), max(values)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
