"""The artwork of bare circuit boards: tracks, pads, planes and lettering in black copper on white."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from flawsight.data.generate.brushes import Grey, Mask, Points, blob, filled, smooth_noise, stroked

SIDE = 640
SHAPE = (SIDE, SIDE)
Rng = np.random.Generator


@dataclass(frozen=True)
class Style:
    """What the boards of one group have in common. Lengths in pixels."""

    track: float
    gap: float
    pad: float
    buses: int
    pad_rows: int
    blocks: int
    planes: int
    big: int
    text: int
    roughness: float


def draw_style(rng: Rng) -> Style:
    """A fine, a coarse or a plane-filled house style."""
    kind = rng.choice(["fine", "medium", "coarse", "plane"], p=[0.35, 0.3, 0.15, 0.2])
    track = {
        "fine": rng.uniform(6, 11),
        "medium": rng.uniform(10, 20),
        "coarse": rng.uniform(24, 60),
        "plane": rng.uniform(7, 18),
    }[str(kind)]
    many = kind != "coarse"
    return Style(
        track=track,
        gap=max(7.0, track * rng.uniform(0.7, 1.4)),
        pad=max(16.0, track * rng.uniform(1.6, 2.6)),
        buses=int(rng.integers(2, 5)) if many else int(rng.integers(1, 4)),
        pad_rows=int(rng.integers(1, 5)) if many else 1,
        blocks=int(rng.integers(0, 3)) if many else int(rng.integers(0, 2)),
        planes=int(rng.integers(2, 5)) if kind == "plane" else int(rng.random() < 0.35),
        big=int(rng.integers(0, 3)),
        text=int(rng.integers(0, 3)),
        roughness=rng.uniform(0.25, 0.6),
    )


@dataclass
class Artwork:
    """Copper as bool (640, 640), the lettering in it, and the runs of track (x1, y1, x2, y2, width)."""

    copper: Mask = field(default_factory=lambda: np.zeros(SHAPE, bool))
    letters: Mask = field(default_factory=lambda: np.zeros(SHAPE, bool))
    runs: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def place(self, shape: Mask, clearance: float) -> bool:
        """Add ``shape`` if it keeps its distance from what is there already."""
        reach = 2 * round(clearance) + 1
        grown = cv2.dilate(shape.astype(np.uint8), np.ones((reach, reach), np.uint8))
        if (self.copper & (grown > 0)).any():
            return False
        self.copper |= shape
        return True


def _octilinear(
    rng: Rng, start: tuple[float, float], heading: int, total: float, run: tuple[float, float]
) -> Points:
    """A path that turns by 45 or, seldom, 90 degrees; ``heading`` counts eighths of a turn."""
    points, length, x, y = [start], 0.0, *start
    straight = heading
    while length < total:
        step = rng.uniform(*run)
        x, y = x + step * np.cos(heading * np.pi / 4), y + step * np.sin(heading * np.pi / 4)
        points.append((x, y))
        length += step
        turn = int(rng.choice([-2, -1, 1, 2], p=[0.12, 0.38, 0.38, 0.12]))
        heading = straight if heading != straight and rng.random() < 0.6 else heading + turn
    return np.array(points)


def _offset(path: Points, distance: float) -> Points:
    """``path`` moved sideways by ``distance``, corners mitred, so that bus tracks stay parallel."""
    steps = np.diff(path, axis=0)
    normals = np.stack([-steps[:, 1], steps[:, 0]], 1) / np.maximum(np.hypot(*steps.T), 1e-6)[:, None]
    before, after = np.vstack([normals[:1], normals]), np.vstack([normals, normals[-1:]])
    bisector = before + after
    scale = 2 / np.maximum((bisector**2).sum(axis=1), 0.5)
    return np.asarray(path + distance * bisector * scale[:, None])


def _drawn(draw: Callable[[Grey], object]) -> Mask:
    canvas = np.zeros(SHAPE, np.uint8)
    draw(canvas)
    return canvas > 127


def _track(path: Points, width: float) -> Mask:
    return np.asarray(stroked(SHAPE, path, width) > 0.5)


def _disc(x: float, y: float, radius: float) -> Mask:
    return _drawn(lambda c: cv2.circle(c, (round(x), round(y)), round(radius), 255, -1, cv2.LINE_AA))


def _remember(art: Artwork, path: Points, width: float) -> None:
    for a, b in itertools.pairwise(path):
        art.runs.append((float(a[0]), float(a[1]), float(b[0]), float(b[1]), width))


def _bus(rng: Rng, art: Artwork, style: Style) -> None:
    """One or several tracks side by side, running in from the border."""
    count = int(rng.integers(1, 8)) if style.track < 14 else int(rng.integers(1, 3))
    width = style.track * rng.uniform(0.85, 1.15)
    pitch = width + style.gap
    heading = int(rng.integers(0, 4)) * 2
    along = rng.uniform(60, SIDE - 60)
    start = {0: (-20.0, along), 2: (along, -20.0), 4: (SIDE + 20.0, along), 6: (along, SIDE + 20.0)}[heading]
    longest = (count * pitch + 30, max(170.0, count * pitch + 120))
    path = _octilinear(rng, start, heading, rng.uniform(300, 1100), longest)
    for k in range(count):
        line = _offset(path, (k - (count - 1) / 2) * pitch)
        shape = _track(line, width)
        end = line[-1]
        if rng.random() < 0.7:
            shape |= _disc(end[0], end[1], width * rng.uniform(0.9, 1.3))
        if art.place(shape, style.gap * 0.7):
            _remember(art, line, width)


def _ring(x: float, y: float, radius: float, hole: float, squared: bool) -> tuple[Mask, Mask]:
    outer = _disc(x, y, radius)
    if squared:
        corners = (round(x - radius), round(y - radius)), (round(x + radius), round(y + radius))
        outer = _drawn(lambda c: cv2.rectangle(c, *corners, 255, -1))
    return outer, _disc(x, y, hole)


def _pad_row(rng: Rng, art: Artwork, style: Style) -> None:
    """Pads with holes at one pitch; many have a short track leading away."""
    radius = style.pad * rng.uniform(0.8, 1.15)
    hole = radius * rng.uniform(0.28, 0.5)
    pitch = 2 * radius + style.gap * rng.uniform(1, 2.2)
    upright, squared = rng.random() < 0.5, rng.random() < 0.15
    x, y = rng.uniform(20, SIDE - 20, 2)
    lead = int(rng.choice([0, 4])) if upright else int(rng.choice([2, 6]))
    for k in range(int(rng.integers(2, 9))):
        px, py = (x, y + k * pitch) if upright else (x + k * pitch, y)
        outer, inner = _ring(px, py, radius, hole, squared and k == 0)
        line = _octilinear(rng, (px, py), lead, rng.uniform(50, 160), (40, 90))
        width = style.track * rng.uniform(0.7, 1.0)
        tail = _track(line, width) | _disc(line[-1][0], line[-1][1], width * 1.1)
        if rng.random() < 0.6 and art.place((outer | tail), style.gap * 0.6):
            _remember(art, line, width)
        elif not art.place(outer, style.gap * 0.6):
            continue
        art.copper &= ~inner


def _block(rng: Rng, art: Artwork, style: Style) -> None:
    """Rows of rectangular pads, some joined by links."""
    w, h = style.pad * rng.uniform(1.6, 3.2), style.pad * rng.uniform(1.2, 2.2)
    dx, dy = w + style.gap * rng.uniform(2.5, 5), h + style.gap * rng.uniform(1, 2)
    x0, y0 = rng.uniform(0, SIDE - 120, 2)
    width = style.track * rng.uniform(0.8, 1.2)
    for row in range(int(rng.integers(2, 6))):
        joined = rng.random() < 0.6
        columns = int(rng.integers(1, 4))
        y = y0 + row * dy
        shape = np.zeros(SHAPE, bool)
        for col in range(columns):
            corner = round(x0 + col * dx), round(y)
            opposite = round(x0 + col * dx + w), round(y + h)
            shape |= _drawn(partial(cv2.rectangle, pt1=corner, pt2=opposite, color=255, thickness=-1))
        line = np.array([[x0 + w / 2, y + h / 2], [x0 + (columns - 1) * dx + w * 0.5, y + h / 2]])
        if joined and columns > 1:
            shape |= _track(line, width)
        if art.place(shape, style.gap * 0.6) and joined and columns > 1:
            for col in range(columns - 1):
                left = x0 + col * dx + w
                _remember(art, np.array([[left, y + h / 2], [left + dx - w, y + h / 2]]), width)


def _plane(rng: Rng, art: Artwork, style: Style) -> None:
    """A poured area with rounded corners, slots and clearances cut out of it; a track in some slots."""
    w, h = rng.uniform(120, 420, 2)
    x, y = rng.uniform(-60, SIDE - 100, 2)
    corner = rng.uniform(4, 26)
    if rng.random() < 0.25:
        shape = _disc(x + w / 2, y + h / 2, min(w, h) / 2)
    elif rng.random() < 0.2:
        outline = np.array([[x, y + h], [x + w, y + h], [x + w * rng.uniform(0, 1), y]])
        shape = np.asarray(filled(SHAPE, outline) > 0.5)
    else:
        inner = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        shape = np.asarray(filled(SHAPE, inner) > 0.5) | _track(np.vstack([inner, inner[:1]]), 2 * corner)
    slots = []
    for _ in range(int(rng.integers(0, 4))):
        start = (x + rng.uniform(0.1, 0.9) * w, y + rng.uniform(0.1, 0.9) * h)
        line = _octilinear(rng, start, int(rng.integers(0, 8)), rng.uniform(80, 320), (40, 140))
        with_track = rng.random() < 0.5
        width = style.track * rng.uniform(0.7, 1.1)
        shape &= ~_track(line, width + 2 * style.gap if with_track else style.gap)
        if with_track:
            slots.append((line, width))
    for _ in range(int(rng.integers(0, 5))):
        radius = rng.uniform(7, 34)
        shape &= ~_disc(x + rng.uniform(0, 1) * w, y + rng.uniform(0, 1) * h, radius)
    if not art.place(shape, style.gap):
        return
    for line, width in slots:
        if art.place(_track(line, width), style.gap * 0.5):
            _remember(art, line, width)


def _big(rng: Rng, art: Artwork, style: Style) -> None:
    """A mounting hole, a fat pad, a fiducial or a triangle."""
    x, y = rng.uniform(0, SIDE, 2)
    radius = rng.uniform(20, 75)
    if rng.random() < 0.25:
        shape = np.asarray(
            filled(SHAPE, blob(rng, (x, y), (radius, radius), rng.uniform(0, 6.28), 0, 3)) > 0.5
        )
    else:
        shape = _disc(x, y, radius)
        if rng.random() < 0.6:
            shape &= ~_disc(x, y, radius * rng.uniform(0.3, 0.9))
    art.place(shape, style.gap)


def _text(rng: Rng, art: Artwork, style: Style) -> None:
    """A few letters, drawn thin."""
    letters = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVXYZ0123456789"), int(rng.integers(1, 6))))
    at = int(rng.integers(0, SIDE - 60)), int(rng.integers(30, SIDE))
    scale, thick = rng.uniform(0.7, 2.2), int(rng.integers(2, 5))
    shape = _drawn(
        lambda c: cv2.putText(c, letters, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    )
    shape = np.rot90(shape, int(rng.integers(0, 4)))
    if art.place(shape, style.gap):
        art.letters |= shape


def draw_artwork(rng: Rng, style: Style) -> Artwork:
    """The copper of one board in ``style``, edges as rough as a scanner's threshold leaves them."""
    art = Artwork()
    while len(art.runs) < 4:  # a large plane can leave no room for tracks: begin again
        art = Artwork()
        steps = [_plane] * style.planes + [_bus] * style.buses + [_pad_row] * style.pad_rows
        steps += [_block] * style.blocks + [_big] * style.big + [_text] * style.text + [_bus] * 2
        for step in steps:
            step(rng, art, style)
    ink = np.asarray(cv2.GaussianBlur(art.copper.astype(np.float32), (0, 0), 0.9), np.float32)
    edge = (ink > 0.02) & (ink < 0.98)
    ink = ink + edge * np.float32(0.2 * style.roughness) * smooth_noise(rng, SHAPE, 1.1, 1.1)
    art.copper = ink > 0.5
    return art
