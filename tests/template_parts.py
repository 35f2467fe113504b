"""Drawn boards with tracks and vias, and the tiny engine that can hold them against a template."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.inspection.tiny import METADATA

Picture = NDArray[np.uint8]

RULE = {"network": 0.3, "thickness": 1.0, "length": -0.5, "bias": -1.0, "margin": 6.0, "score": 0.3}
DECISION = replace(METADATA.decision, accept_below=0.4, reject_from=0.6)
COMPARING = replace(METADATA, decision=replace(DECISION, template=RULE))
TURNED = cv2.getRotationMatrix2D((128, 96), 1.0, 1.0)
VIA, FLAW = (80, 60), (190, 120)  # middles of round marks


def board(
    *marks: tuple[int, int], tracks: bool = True, seed: int = 5, at: tuple[int, int] = (0, 0)
) -> Picture:
    """A bright surface with grey tracks and round dark marks, seen from ``at`` (x, y); RGB (192, 256, 3)."""
    grain = np.random.default_rng(seed).normal(170, 2, (272, 336))
    pixels = np.clip(grain, 0, 255).astype(np.uint8)
    if tracks:
        cv2.rectangle(pixels, (48, 48), (287, 223), 110, 3)
        for x in (92, 160, 180):
            cv2.line(pixels, (x, 48), (x, 190), 110, 3)
        cv2.line(pixels, (180, 130), (287, 130), 110, 3)
    for x, y in marks:
        cv2.circle(pixels, (x + 40, y + 40), 6, 0, -1)
    x, y = at[0] + 40, at[1] + 40
    return np.repeat(pixels[y : y + 192, x : x + 256, None], 3, axis=2)
