"""Boards as a thresholding scanner sees them, beside their templates, and the six faults planted on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.data.generate.artwork import SHAPE, SIDE, Artwork, Style, draw_artwork
from flawsight.data.generate.brushes import Grey, Mask, blob, filled, stroked, wander, widened

Rng = np.random.Generator

FAULTS = ("PCB_open", "PCB_short", "PCB_mousebite", "PCB_spur", "PCB_copper", "PCB_pinhole")  # types 1..6


@dataclass(frozen=True)
class Fault:
    """One planted fault: its class and a loose half-open pixel ``xyxy`` box around every changed pixel."""

    class_id: str
    box: tuple[int, int, int, int]

    @property
    def type_number(self) -> int:
        return FAULTS.index(self.class_id) + 1


@dataclass(frozen=True)
class Board:
    """A board and its template, uint8 (640, 640), copper black; they differ only inside the boxes."""

    test: Grey
    template: Grey
    faults: tuple[Fault, ...]


def _labels(copper: Mask) -> NDArray[np.int32]:
    return np.asarray(cv2.connectedComponents(copper.astype(np.uint8), connectivity=4)[1])


def _window(x: float, y: float, reach: int) -> tuple[slice, slice]:
    top, left = max(0, round(y) - reach), max(0, round(x) - reach)
    return slice(top, round(y) + reach + 1), slice(left, round(x) + reach + 1)


def _squiggle(rng: Rng, at: tuple[float, float], heading: float, length: float, width: float) -> Mask:
    """A short hand-drawn mark: straight, hooked or bent, centred on ``at``."""
    path = wander(rng, at, heading, length, 2.5, float(rng.normal(0, 1.1)), 0.12)
    path -= path.mean(axis=0) - at
    widths = width * rng.uniform(0.7, 1.3, len(path))
    return np.asarray(stroked(SHAPE, path, widths) > 0.5)


def _random_pixel(rng: Rng, where: Mask, margin: int = 14) -> tuple[int, int] | None:
    inside = where.copy()
    inside[:margin] = inside[-margin:] = False
    inside[:, :margin] = inside[:, -margin:] = False
    pixels = np.flatnonzero(inside)
    if not len(pixels):
        return None
    pick = int(pixels[rng.integers(len(pixels))])
    return pick % SIDE, pick // SIDE


def edge_and_normal(rng: Rng, copper: Mask, letters: Mask) -> tuple[int, int, float] | None:
    """A pixel on the edge of a conductor (letters are none) and the heading out of the copper there."""
    edge = copper & (cv2.erode(copper.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    edge &= ~widened(letters, 3)
    spot = _random_pixel(rng, edge)
    if spot is None:
        return None
    x, y = spot
    rows, cols = _window(x, y, 5)
    patch = copper[rows, cols]
    ys, xs = np.nonzero(patch)
    inward = np.array([xs.mean() + cols.start - x, ys.mean() + rows.start - y])
    if np.hypot(*inward) < 0.8:
        return None
    return x, y, float(np.arctan2(-inward[1], -inward[0]))


# Each tries once and returns the copper after the fault, or None where it would not be what it says.


def open_circuit(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A cut across a track; both sides are copper, and no longer joined near the cut."""
    if not art.runs:
        return None
    x1, y1, x2, y2, width = art.runs[int(rng.integers(len(art.runs)))]
    length, heading = np.hypot(x2 - x1, y2 - y1), np.arctan2(y2 - y1, x2 - x1)
    if length < 24:
        return None
    t = rng.uniform(0.2, 0.8)
    x, y = x1 + t * (x2 - x1), y1 + t * (y2 - y1)
    if not (14 < x < SIDE - 14 and 14 < y < SIDE - 14):
        return None
    gap = rng.uniform(2.5, 10)
    cut = _squiggle(rng, (x, y), heading + np.pi / 2 + rng.normal(0, 0.25), width * 1.25 + 9, gap)
    reach = round(width / 2 + 18)
    step = np.array([np.cos(heading), np.sin(heading)]) * (gap + 5)
    ends = [(round(y + s * step[1]), round(x + s * step[0])) for s in (-1, 1)]
    if not all(0 <= r < SIDE and 0 <= c < SIDE and copper[r, c] for r, c in ends):
        return None
    window = _window(x, y, reach)
    origin = window[0].start, window[1].start
    near = [(r - origin[0], c - origin[1]) for r, c in ends]

    def joined(board: Mask) -> bool:
        labels = _labels(board[window])
        inside = all(0 <= r < labels.shape[0] and 0 <= c < labels.shape[1] for r, c in near)
        return inside and 0 < labels[near[0]] == labels[near[1]]

    after = copper & ~cut
    still = after[ends[0]] and after[ends[1]]
    return after if still and joined(copper) and not joined(after) else None


def short_circuit(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A bridge from one conductor straight across to another that it was not joined to."""
    found = edge_and_normal(rng, copper, art.letters)
    if found is None:
        return None
    x, y, heading = found
    labels = _labels(copper)
    steps = np.arange(2, int(rng.integers(12, 52)))  # near neighbours are met more often
    xs = np.round(x + steps * np.cos(heading)).astype(int).clip(0, SIDE - 1)
    ys = np.round(y + steps * np.sin(heading)).astype(int).clip(0, SIDE - 1)
    met = labels[ys, xs]
    hits = np.flatnonzero(met)
    if not len(hits) or hits[0] < 3 or met[hits[0]] == labels[y, x]:
        return None
    far = steps[hits[0]]
    middle = (x + far / 2 * np.cos(heading), y + far / 2 * np.sin(heading))
    path = wander(rng, (x, y), heading, far + 3, 3, float(rng.normal(0, 0.35)), 0.1)
    path -= path.mean(axis=0) - middle
    bridge = np.asarray(stroked(SHAPE, path, rng.uniform(2.5, 8) * rng.uniform(0.75, 1.25, len(path))) > 0.5)
    after = copper | bridge
    joined = _labels(after)
    other = int(ys[hits[0]]), int(xs[hits[0]])
    return after if joined[y, x] == joined[other] else None


def mousebite(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A nibble out of an edge that leaves the conductor whole."""
    found = edge_and_normal(rng, copper, art.letters)
    if found is None:
        return None
    x, y, heading = found
    depth = rng.uniform(3.5, 12)
    at = (x - 0.35 * depth * np.cos(heading), y - 0.35 * depth * np.sin(heading))
    if rng.random() < 0.6:
        bite = _squiggle(rng, at, heading + rng.normal(0, 0.7), depth * 1.5, rng.uniform(3, 7))
    else:
        radii = depth * rng.uniform(0.7, 1.6), depth * 0.75
        bite = np.asarray(filled(SHAPE, blob(rng, at, radii, heading + np.pi / 2, 0.2)) > 0.5)
    window = _window(x, y, 34)
    after = copper & ~bite
    gone = int((copper & bite)[window].sum())
    whole = _labels(after[window]).max() == _labels(copper[window]).max()
    open_edge = (
        _labels(~after[window]).max() == _labels(~copper[window]).max()
    )  # no pinhole, no ring cut through
    return after if gone >= 14 and whole and open_edge else None


def spur(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A spike that grows out of an edge and touches nothing else."""
    found = edge_and_normal(rng, copper, art.letters)
    if found is None:
        return None
    x, y, heading = found
    length = rng.uniform(8, 24)
    at = (x + 0.42 * length * np.cos(heading), y + 0.42 * length * np.sin(heading))
    spike = _squiggle(rng, at, heading + rng.normal(0, 0.35), length, rng.uniform(2.5, 7))
    after = copper | spike
    added = int((spike & ~copper).sum())
    window = _window(x, y, 40)
    free = _labels(after[window]).max() == _labels(copper[window]).max()
    open_ground = _labels(~after[window]).max() == _labels(~copper[window]).max()  # no loop closed
    return after if added >= 16 and free and open_ground else None


def _mark_inside(rng: Rng, room: Mask) -> Mask | None:
    """A small mark that lies in ``room`` with 3 px to spare all round."""
    spot = _random_pixel(rng, cv2.erode(room.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    if spot is None:
        return None
    if rng.random() < 0.65:
        mark = _squiggle(rng, spot, rng.uniform(0, 6.28), rng.uniform(6, 24), rng.uniform(2, 6.5))
    else:
        radius = rng.uniform(2.2, 7)
        mark = np.asarray(
            filled(SHAPE, blob(rng, spot, (radius, radius * rng.uniform(0.5, 1)), rng.uniform(0, 3.14), 0.25))
            > 0.5
        )
    grown = cv2.dilate(mark.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return mark if mark.sum() >= 8 and not (grown & ~room).any() else None


def spurious_copper(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A speck of copper on its own in the background."""
    mark = _mark_inside(rng, ~copper)
    return None if mark is None else copper | mark


def pinhole(rng: Rng, copper: Mask, art: Artwork) -> Mask | None:
    """A hole in the copper that reaches no edge."""
    mark = _mark_inside(rng, copper)
    return None if mark is None else copper & ~mark


PLANTERS: dict[str, Callable[[Rng, Mask, Artwork], Mask | None]] = {
    "PCB_open": open_circuit,
    "PCB_short": short_circuit,
    "PCB_mousebite": mousebite,
    "PCB_spur": spur,
    "PCB_copper": spurious_copper,
    "PCB_pinhole": pinhole,
}
TRIES = 60


def plant(rng: Rng, art: Artwork, kinds: list[str]) -> tuple[Mask, tuple[Fault, ...]]:
    """Copper with as many of ``kinds`` as fit the artwork, their boxes apart from each other."""
    copper, taken, faults = art.copper, np.zeros(SHAPE, bool), []
    for kind in kinds:
        for _ in range(TRIES):
            after = PLANTERS[kind](rng, copper, art)
            if after is None:
                continue
            box = _loose_box(rng, after != copper)
            area = np.s_[box[1] : box[3], box[0] : box[2]]
            if max(box[2] - box[0], box[3] - box[1]) > 125 or taken[area].any():
                continue
            copper = after
            taken[area] = True
            faults.append(Fault(kind, box))
            break
    return copper, tuple(faults)


def _loose_box(rng: Rng, changed: Mask) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    left, top, right, bottom = rng.integers(6, 16, 4)
    return (
        max(0, int(cols[0] - left)),
        max(0, int(rows[0] - top)),
        min(SIDE, int(cols[-1] + 1 + right)),
        min(SIDE, int(rows[-1] + 1 + bottom)),
    )


def scanned(copper: Mask) -> Grey:
    """Copper black, background white."""
    return np.where(copper, 0, 255).astype(np.uint8)


def choose_kinds(rng: Rng) -> list[str]:
    """Which faults a board gets: mostly one of each and some more, now and then only three to five."""
    count = int(rng.integers(3, 6)) if rng.random() < 0.25 else int(rng.integers(6, 13))
    return [str(kind) for kind in np.concatenate([rng.permutation(FAULTS), rng.permutation(FAULTS)])[:count]]


def draw_board(rng: Rng, style: Style, kinds: list[str] | None = None) -> Board:
    """A board in ``style`` with ``kinds`` of faults (chosen at random by default) and its template.

    Artwork that leaves no room for one of them is drawn anew, up to five times.
    """
    kinds = choose_kinds(rng) if kinds is None else kinds
    best: Board | None = None
    for _ in range(5):
        art = draw_artwork(rng, style)
        copper, faults = plant(rng, art, kinds)
        if best is None or len(faults) > len(best.faults):
            best = Board(scanned(copper), scanned(art.copper), faults)
        if len(faults) == len(kinds):
            break
    assert best is not None
    return best
