"""A small trained model of each preset, and the drawn pictures it learnt from, for tests of the whole way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from flawsight.cli import main
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.learning.config import TrainConfig
from flawsight.learning.export import save_onnx
from flawsight.learning.fit import fit
from flawsight.learning.presets import SHIPPED, fine_tuning, load_preset
from flawsight.learning.train import decide_on_validation, left_files, trained_network
from flawsight.learning.unknown import known_statistics

SIDE = 64  # pixels of a picture
EACH = 8  # pictures of a class
SMALL: dict[str, Any] = {
    "backbone": "compact", "stride": 16, "image_size": SIDE, "batch_size": 8, "epochs": 6, "patience": 0,
    "learning_rate": 3e-3, "ema_decay": 0.5,
}  # fmt: skip

Draw = Callable[[NDArray[np.uint8], np.random.Generator], None]


def _plain(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A part without a flaw."""


def _hole(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A black spot of a third of the side."""
    x, y = (int(value) for value in rng.integers(18, SIDE - 18, 2))
    cv2.circle(pixels, (x, y), 11, (0, 0, 0), -1)


def _tinted(*colour: int) -> Draw:
    def tint(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
        pixels[:] = (0.3 * pixels + 0.7 * np.array(colour)).astype(np.uint8)

    return tint


# Preset to its class folders and what tells them apart. A preset of one's own is made from the last.
PICTURES: dict[str, dict[str, Draw]] = {
    "batik": {
        "kawung": _tinted(255, 0, 0),
        "megamendung": _tinted(0, 0, 255),
        "parang": _tinted(0, 255, 0),
        "sidomukti": _tinted(255, 255, 0),
        "truntum": _tinted(0, 0, 0),
    },
    "casting": {"ok_front": _plain, "def_front": _hole},
    "dagm-binary": {"DAGM_Free": _plain, "DAGM_Class1": _hole},
    "brackets": {"good": _plain, "rusty": _tinted(180, 60, 0)},
}
SHOWN = {"batik": "kawung", "casting": "def_front", "dagm-binary": "DAGM_Class1", "brackets": "rusty"}


def draw(preset: str, folder: Path) -> Path:
    """Class folders of blotchy squares, each another one: copies would be joined into one group."""
    for number, (name, mark) in enumerate(PICTURES[preset].items()):
        (folder / name).mkdir(parents=True)
        rng = np.random.default_rng([len(preset), number])
        for index in range(EACH):
            blotches = np.kron(rng.normal(150, 35, (8, 8)), np.ones((SIDE // 8, SIDE // 8)))
            grey = np.clip(blotches + rng.normal(0, 4, (SIDE, SIDE)), 0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
            mark(pixels, rng)
            Image.fromarray(pixels).save(folder / name / f"{name}_{index}.png")
    return folder


def train(preset: str, data: Path, out: Path) -> Path:
    """A model of ``preset``, made as ``training.py`` makes it but for the figures and charts."""
    if preset not in SHIPPED:
        made = CliRunner().invoke(main, ["new-preset", str(data), f"--out={out / preset}.toml", "--yes"])
        assert made.exit_code == 0, made.output
        preset = f"{out / preset}.toml"
    settings = {**load_preset(preset).training, **SMALL, "preset": preset, "data": (data,), "out": out}
    config = fine_tuning(TrainConfig(**settings, run_name=Path(preset).stem))
    model = left_files(config).model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning and torch say much about themselves
        result = fit(config)
        net = trained_network(result, config)
        metadata = decide_on_validation(net, result, config, Costs(), model)
        parts = map(result.manifest.split, ("train", "val"))
        statistics = known_statistics(Inspector(load_engine(model)), *parts)
        save_onnx(net, replace(metadata, feature_stats=statistics), model)
    return model
