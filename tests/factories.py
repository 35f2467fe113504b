"""Inspections for tests: real small images, honest numbers, no model needed."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np

from flawsight.inspection.result import Box, Heatmap, ImageInfo, Inspection, ModelInfo

MODEL = ModelInfo("flawsight-unified", "1.0.0", "ab" * 32)
METHOD: dict[str, Any] = {
    "engine": "ONNX Runtime 1.31 (CPU)",
    "manifest_sha256": "cd" * 32,
    "preprocessing": {"max_side": 1024, "min_side": 96, "multiple": 32, "standardise": "image"},
    "metrics": {},
}


def make_pixels(
    width: int = 240, height: int = 180, boxes: tuple[Box, ...] = (), seed: int = 0
) -> np.ndarray:
    """A brushed-metal texture with a dark scratch through each box; RGB uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(150, 40, (height, width, 3)), (15, 1), 0)
    pixels = np.clip(grain, 0, 255).astype(np.uint8)
    for box in boxes:
        cv2.line(pixels, (box.x1 + 2, box.y1 + 2), (box.x2 - 3, box.y2 - 3), (35, 25, 20), 2)
    return pixels


def make_inspection(
    verdict: str = "reject",
    predicted_class: str | None = None,
    boxes: tuple[Box, ...] | None = None,
    confidence: float = 0.94,
    defect_probability: float | None = None,
    name: str = "part.png",
    upload: bytes | None = None,
    metrics: dict[str, Any] | None = None,
    width: int = 240,
    height: int = 180,
) -> Inspection:
    """An Inspection whose parts agree: a good part has no box and a low probability of a defect."""
    good = verdict == "accept"
    predicted_class = predicted_class or ("MT_Free" if good else "MT_Crack")
    if boxes is None:
        boxes = () if good else (Box(60, 40, 120, 100, 0.91, predicted_class),)
    if defect_probability is None:
        defect_probability = 1 - confidence if good else confidence
    pixels = make_pixels(width, height, boxes)
    rest = 1 - confidence
    others = [
        name
        for name in ("MT_Free", "MT_Crack", "MT_Blowhole", "MT_Fray", "PCB_open")
        if name != predicted_class
    ]
    shares = dict(zip(others, (0.5 * rest, 0.25 * rest, 0.15 * rest, 0.1 * rest), strict=False))
    values = np.zeros((height, width), np.float32)
    for box in boxes:
        cv2.circle(values, ((box.x1 + box.x2) // 2, (box.y1 + box.y2) // 2), (box.x2 - box.x1) // 2, 1.0, -1)
    values = cv2.GaussianBlur(values, (31, 31), 0)
    peak_y, peak_x = np.unravel_index(int(values.argmax()), values.shape)
    return Inspection(
        image=ImageInfo(name, None, hashlib.sha256(upload or encode(pixels)).hexdigest(), width, height),
        verdict=verdict,
        reason=REASONS[verdict].format(share=f"{100 * defect_probability:.1f} %"),
        predicted_class=predicted_class,
        confidence=confidence,
        defect_probability=defect_probability,
        probabilities={predicted_class: confidence, **shares},
        boxes=boxes,
        heatmap=Heatmap(predicted_class, values, (int(peak_x), int(peak_y)), 4.2 if boxes else 0.0, "cam"),
        thresholds={"accept_below": 0.3, "reject_from": 0.7},
        model=MODEL,
        method={**METHOD, "metrics": metrics or {}},
        timing_ms={"decode": 1.2, "forward": 31.0},
        pixels=pixels,
    )


REASONS = {
    "accept": "The probability of a defect, {share}, is below the limit for acceptance.",
    "review": "The probability of a defect, {share}, lies between the two limits; a person should look.",
    "reject": "The probability of a defect, {share}, is at or above the limit for rejection.",
    "unknown": "The image is unlike everything the model was trained on.",
}


def make_pictures(inspection: Inspection, suffix: str = ".png") -> dict[str, bytes]:
    """The five pictures of an inspection, each different, encoded."""
    pixels = inspection.pixels
    values = (inspection.heatmap.values * 255).astype(np.uint8)
    layer = cv2.cvtColor(cv2.applyColorMap(values, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    boxes = pixels.copy()
    for box in inspection.boxes:
        cv2.rectangle(boxes, (box.x1, box.y1), (box.x2 - 1, box.y2 - 1), (255, 200, 0), 2)
    edges = cv2.cvtColor(cv2.convertScaleAbs(cv2.Sobel(pixels[..., 1], cv2.CV_32F, 1, 0)), cv2.COLOR_GRAY2RGB)
    return {
        "original": encode(pixels, suffix),
        "heatmap": encode(cv2.addWeighted(pixels, 0.6, layer, 0.4, 0), suffix),
        "heat_layer": encode(np.dstack([layer, values])),
        "boxes": encode(boxes, suffix),
        "edges": encode(edges, suffix),
    }


def encode(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """RGB or RGBA uint8 to an image file's bytes."""
    to_bgr = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, encoded = cv2.imencode(suffix, cv2.cvtColor(pixels, to_bgr))
    assert ok
    return encoded.tobytes()
