"""Which figure tells known parts from foreign pictures best? Compares detectors on one model's features.

    PYTHONPATH=. python benchmarks/unknown.py --data DIR --foreign DIR --foreign DIR

All detectors learn from the training split, their limit is the 99 % quantile of the validation split, and
they are measured on the test split against drawn foreign pictures and those in the folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from flawsight.cli.division import divide_again
from flawsight.data.generate import draw_foreign
from flawsight.data.samples import IMAGE_SUFFIXES
from flawsight.data.whole import sample_pixels
from flawsight.imaging import read_image
from flawsight.inspection.engines import Engine, load_engine
from flawsight.inspection.familiarity import KnownParts, summaries
from flawsight.learning.fit import real_samples
from flawsight.learning.unknown import DIRECTIONS, FOREIGN, representative
from flawsight.preprocessing import prepare
from flawsight.settings import load_settings

Float = NDArray[np.float64]
MOST = 100  # pictures of one folder


def read(engine: Engine, pictures: Iterable[NDArray[np.uint8]]) -> tuple[Float, Float]:
    """Summaries of features (N, 2, C) and logits (N, K)."""
    vectors, logits = [], []
    for picture in pictures:
        values, _ = prepare(picture, engine.metadata.preprocessing)
        said = engine.run(values[None]).first
        found = summaries(said.features)
        vectors.append(found if len(found) == 2 else np.repeat(found, 2, axis=0))
        logits.append(said.logits)
    return np.stack(vectors).astype(float), np.stack(logits).astype(float)


def _own(vectors: Float) -> Float:
    """The summaries of a picture without the one that ``read`` repeated for a large one."""
    return vectors[:1] if np.array_equal(vectors[0], vectors[1]) else vectors


def detectors(train: Float, names: NDArray[np.str_]) -> dict[str, Callable[[Float, Float], Float]]:
    """Name to a function of mean-pooled features and logits that grows with foreignness."""
    classes = np.unique(names)
    means = np.stack([train[names == name].mean(0) for name in classes])
    spread = (train - means[np.searchsorted(classes, names)]).std(0)
    spread = np.maximum(spread, np.median(spread) * 0.1)
    length = np.linalg.norm(train, axis=1, keepdims=True)
    near = NearestNeighbors(n_neighbors=1).fit(train / length)
    found: dict[str, Callable[[Float, Float], Float]] = {
        "energy": lambda v, z: -np.log(np.exp(z).sum(1)),
        "1 - largest softmax": lambda v, z: 1 - (np.exp(z) / np.exp(z).sum(1, keepdims=True)).max(1),
        "distance to the nearest class mean": lambda v, z: np.array(
            [(((x - means) / spread) ** 2).mean(1).min() for x in v]
        ),
        "cosine to the nearest part": lambda v, z: near.kneighbors(
            v / np.linalg.norm(v, axis=1, keepdims=True)
        )[0][:, 0],
    }
    for count in (16, 32, DIRECTIONS, 128):
        if count >= min(train.shape):
            continue
        plane = PCA(count, random_state=0).fit(train)

        def residual(v: Float, z: Float, plane: PCA = plane) -> Float:
            return np.asarray(np.linalg.norm(v - plane.inverse_transform(plane.transform(v)), axis=1))

        def angle(v: Float, z: Float, plane: PCA = plane, residual: Callable = residual) -> Float:
            return np.asarray(residual(v, z) / np.linalg.norm(v - plane.mean_, axis=1))

        found[f"residual to {count} directions"] = residual
        found[f"… divided by the length ({count})"] = angle
    return found


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), multiple=True, required=True)
@click.option("--foreign", type=click.Path(path_type=Path, exists=True), multiple=True)
def main(data: tuple[Path, ...], foreign: tuple[Path, ...]) -> None:
    engine = load_engine(load_settings().model)
    manifest = divide_again(data, engine.metadata)
    splits = {name: representative(manifest.split(name)) for name in ("train", "val")}
    splits["test"] = real_samples(manifest.split("test"))
    read_splits = {
        name: read(engine, track([sample_pixels(s) for s in samples], name))
        for name, samples in splits.items()
    }
    pictures = {"drawn": [draw_foreign(np.random.default_rng([9, n]))[1] for n in range(FOREIGN)]}
    for folder in foreign:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        pictures[folder.name] = [read_image(p) for p in files[:: max(1, len(files) // MOST)]]
    others = {kind: read(engine, track(shown, kind)) for kind, shown in pictures.items()}
    names = np.array([f"{s.dataset}/{s.class_id}" for s in splits["train"]])
    heads = ("detector", *(f"AUROC, {kind}" for kind in others), "caught", "parts called unknown")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    train = read_splits["train"][0]
    of_mean, of_field = detectors(train[:, 0], names), detectors(train[:, 1], names)
    scores: dict[str, Callable[[Float, Float], Float]] = {
        name: lambda v, z, score=score: score(v[:, 0], z) for name, score in of_mean.items()
    }
    scores |= {
        f"quietest field: {name}": lambda v, z, score=score: score(v[:, 1], z)
        for name, score in of_field.items()
        if name.startswith(("residual", "…"))
    }
    if known_parts := KnownParts.of(engine.metadata):
        scores["shipped: the farther of mean and quietest field"] = lambda v, z: np.array(
            [known_parts.farthest(_own(vectors).astype(np.float32)) for vectors in v]
        )
    for name, score in scores.items():
        known = score(*read_splits["test"])
        limit = np.quantile(score(*read_splits["val"]), 0.99)
        far = {kind: score(*values) for kind, values in others.items()}
        areas = [
            roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(values))], np.r_[known, values])
            for values in far.values()
        ]
        caught = np.mean(np.concatenate(list(far.values())) > limit)
        row = (*(f"{area:.3f}" for area in areas), f"{caught:.1%}", f"{(known > limit).mean():.1%}")
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
