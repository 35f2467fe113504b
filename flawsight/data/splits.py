"""Leak-safe division into train, validation and test, and the manifest that proves it.

Nothing of one group (burst, board, near-duplicate) is in two splits. The manifest lists every
sample with its SHA-256, label, group and split; its hash travels with the model.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from flawsight.atomic import write_text
from flawsight.data.samples import GENERATED, Sample
from flawsight.errors import DataError

SPLITS = ("train", "val", "test")
FRACTIONS = {"train": 0.60, "val": 0.15, "test": 0.25}


@dataclass(frozen=True)
class Entry:
    """One row of the manifest; ``path`` is relative to its data root."""

    path: str
    sha256: str
    label: str
    dataset: str
    group: str
    split: str
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Manifest:
    """The division: ``entries[i]`` describes ``samples[i]``."""

    entries: tuple[Entry, ...]
    samples: tuple[Sample, ...]
    seed: int

    @property
    def sha256(self) -> str:
        """Hash over the rows alone, so that it is the same wherever the data lies."""
        rows = sorted(json.dumps(asdict(entry), sort_keys=True) for entry in self.entries)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def split(self, name: str) -> list[Sample]:
        """Samples of ``train``, ``val`` or ``test``."""
        return [
            sample for sample, entry in zip(self.samples, self.entries, strict=True) if entry.split == name
        ]

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        content = {
            "schema": "flawsight.manifest/1",
            "sha256": self.sha256,
            "seed": self.seed,
            "entries": [asdict(entry) for entry in self.entries],
        }
        write_text(path, json.dumps(content, indent=1))


def make_manifest(
    samples: Sequence[Sample],
    seed: int,
    roots: Iterable[Path] = (),
    duplicates: Iterable[tuple[Path, Path]] = (),
) -> Manifest:
    """Divide ``samples`` by group, alike in every class, within each dataset.

    Args:
        samples: what the adapters found.
        seed: order in which groups of equal rank are dealt.
        roots: data folders; paths in the manifest are relative to them.
        duplicates: pairs of near-identical files whose groups are joined.

    Raises:
        DataError: there are no samples.
    """
    if not samples:
        raise DataError(
            "There is no image to divide. Check the data folder with `python -m flawsight data audit`."
        )
    joined = join_groups(samples, duplicates)
    assigned: dict[str, str] = {}
    for dataset in sorted({sample.dataset for sample in joined}):
        assigned |= _deal([s for s in joined if s.dataset == dataset], seed)
    digests = {path: _sha256(path) for path in {sample.path for sample in joined}}
    roots = [root.resolve() for root in roots]
    entries = tuple(
        Entry(
            path=_relative(sample.path, roots),
            sha256=digests[sample.path],
            label=sample.class_id,
            dataset=sample.dataset,
            group=sample.group,
            split=assigned[sample.group],
            region=sample.region,
        )
        for sample in joined
    )
    return Manifest(entries, tuple(joined), seed)


def into_folds(manifest: Manifest, folds: int, fold: int) -> Manifest:
    """The same test split; of the rest, part ``fold`` of ``folds`` validates and the others train.

    No group is divided, and each part has about the same share of each class. Generated samples always
    train: a drawn part is no real one.

    Raises:
        DataError: there are fewer groups than folds.
    """
    rows = [i for i, e in enumerate(manifest.entries) if e.split != "test" and GENERATED not in e.dataset]
    groups = [manifest.entries[i].group for i in rows]
    if len(set(groups)) < folds:
        raise DataError(f"There are {len(set(groups))} groups of images for {folds} folds. Take fewer folds.")
    kinds = [f"{manifest.entries[i].dataset} {manifest.entries[i].label}" for i in rows]
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=manifest.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer images than folds is missing from some
        held_out = list(parts.split(rows, kinds, groups))[fold][1]
    validation = {rows[i] for i in held_out}
    entries = tuple(
        entry if entry.split == "test" else replace(entry, split="val" if i in validation else "train")
        for i, entry in enumerate(manifest.entries)
    )
    return replace(manifest, entries=entries)


def join_groups(samples: Sequence[Sample], duplicates: Iterable[tuple[Path, Path]]) -> list[Sample]:
    """Samples whose groups are merged where two of their files are duplicates (union-find)."""
    parent = {sample.group: sample.group for sample in samples}

    def top(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    def join(one: str, other: str) -> None:
        first, second = sorted((top(one), top(other)))
        parent[second] = first

    group_of: dict[Path, str] = {}
    for sample in samples:
        join(group_of.setdefault(sample.path, sample.group), sample.group)  # one file, found twice
    for one, other in duplicates:
        join(group_of[one], group_of[other])
    return [replace(sample, group=top(sample.group)) for sample in samples]


def _deal(samples: Sequence[Sample], seed: int) -> dict[str, str]:
    """Group to split for one dataset; the publisher's own division is kept where there is one."""
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    published: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        classes[sample.group][sample.class_id] += 1
        if sample.publisher_split:
            published[sample.group].add(sample.publisher_split)
    # A group with copies on both sides of the publisher's border goes to train: no leak, smaller test.
    fixed = {g: "test" for g, names in published.items() if names == {"test"}}
    fixed |= {g: "val" for g, names in published.items() if names == {"val"}}
    open_groups = sorted(set(classes) - set(fixed))
    has = set(fixed.values())
    targets = {name: FRACTIONS[name] for name in SPLITS if name not in has}
    total = sum(targets.values())
    return fixed | _greedy(
        {g: classes[g] for g in open_groups}, {k: v / total for k, v in targets.items()}, seed
    )


def _greedy(groups: dict[str, Counter[str]], fractions: dict[str, float], seed: int) -> dict[str, str]:
    """Deal groups, those with the rarest class first, to the split that lacks that class most.

    The last groups of a class are kept for the splits that have none of it yet.
    """
    totals: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    for counts in groups.values():
        totals.update(counts)
        spread.update(counts.keys())
    order = np.random.default_rng(seed).permutation(len(groups))
    names = [sorted(groups)[i] for i in order]
    names.sort(key=lambda g: (min(spread[c] for c in groups[g]), -sum(groups[g].values())))
    have: dict[str, Counter[str]] = {split: Counter() for split in fractions}
    left = spread.copy()  # groups of each class that are not dealt yet
    result = {}
    for name in names:
        rarest = min(groups[name], key=lambda c: (spread[c], c))
        lacking = [split for split in fractions if not have[split][rarest]]
        chosen = max(
            lacking if left[rarest] <= len(lacking) else fractions,
            key=lambda split: (
                round(fractions[split] - have[split][rarest] / totals[rarest], 6),
                fractions[split] * sum(totals.values()) - sum(have[split].values()),
            ),
        )
        have[chosen].update(groups[name])
        left.subtract(groups[name].keys())
        result[name] = chosen
    return result


def counts(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Samples by class and split: ``{class_id: {"train": n, "val": n, "test": n}}``."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for entry in manifest.entries:
        table[entry.label][entry.split] += 1
    return {label: table[label] for label in sorted(table)}


def describe_split(manifest: Manifest) -> dict[str, Any]:
    """What the model file says about its data: counts and groups per split."""
    groups = {
        split: len({entry.group for entry in manifest.entries if entry.split == split}) for split in SPLITS
    }
    return {"counts": counts(manifest), "groups": groups, "images": len({s.path for s in manifest.samples})}


def _relative(path: Path, roots: Sequence[Path]) -> str:
    resolved = path.resolve()
    for root in roots:
        if resolved.is_relative_to(root):
            return resolved.relative_to(root).as_posix()
    return "/".join(path.parts[-3:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
