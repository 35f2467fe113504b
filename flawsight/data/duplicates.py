"""Pictures that are copies of one another, so that no copy ends up on both sides of a split.

Two steps, because either alone joins too much or too little. A perceptual hash (imagehash's 256-bit
DCT hash) finds candidates among all pairs; the correlation of 64x64 thumbnails confirms them. Each
picture is compared in its eight symmetries (quarter turns and mirror images), for published sets often
hold such copies.

The two limits were chosen on real images: with them no two of 340 different DAGM textures are joined,
although all images of one class share their texture, and no two DeepPCB boards of different groups,
whereas the exposures of one magnetic tile and flipped or turned copies of one casting are. A copy
turned by another angle than 90 degrees is not found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawsight.errors import ImageError
from flawsight.imaging import decode, read_bytes, sha256

HASH_SIDE = 16  # the hash has HASH_SIDE**2 bits
THUMB_SIDE = 64
DISTANCE = 32  # differing bits of 256 up to which a pair is a candidate
SIMILARITY = 0.97  # correlation of the thumbnails from which a candidate is a copy
_BLOCK = 512  # rows compared at once; bounds the memory, not the result

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]  # called with (done, of how many)


@dataclass(frozen=True)
class Fingerprint:
    """What two pictures are compared by.

    Attributes:
        bits: bool (8, HASH_SIDE**2), the hash of each symmetry; row 0 is the picture as it is.
        thumbnail: float32 (THUMB_SIDE, THUMB_SIDE), mean 0 and norm 1, or all 0 for a blank.
    """

    bits: NDArray[np.bool_]
    thumbnail: Array


@dataclass(frozen=True)
class Picture:
    """One decoded file; ``width`` and ``height`` in pixels, after EXIF turning."""

    path: Path
    sha256: str
    width: int
    height: int
    print: Fingerprint


@dataclass(frozen=True)
class Copies:
    """Two files that show the same picture.

    ``differing_bits`` of the 256-bit hash; ``exact`` means the same bytes.
    """

    first: Path
    second: Path
    differing_bits: int
    exact: bool


def _symmetries() -> tuple[Callable[[Array], Array], ...]:
    """The eight symmetries of a square, on arrays (..., side, side); the first changes nothing."""

    def turned(quarters: int, mirrored: bool) -> Callable[[Array], Array]:
        def turn(values: Array) -> Array:
            rotated = np.rot90(values, quarters, axes=(-2, -1))
            return rotated[..., ::-1] if mirrored else rotated

        return turn

    return tuple(turned(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))


SYMMETRIES = _symmetries()


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Fingerprint of RGB uint8 (H, W, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    thumb = cv2.resize(grey, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    bits = np.stack([_hash_bits(turn(thumb)) for turn in SYMMETRIES])
    centred = thumb - thumb.mean()
    norm = max(float(np.linalg.norm(centred)), 1e-6)
    return Fingerprint(bits, (centred / norm).astype(np.float32))


def _hash_bits(thumb: Array) -> NDArray[np.bool_]:
    picture = Image.fromarray(np.ascontiguousarray(thumb, dtype=np.uint8))
    return np.asarray(imagehash.phash(picture, hash_size=HASH_SIDE).hash.ravel(), dtype=np.bool_)


def read_pictures(
    paths: Iterable[Path], progress: Progress | None = None
) -> tuple[dict[Path, Picture], dict[Path, str]]:
    """Decode each file once: the pictures by path, and the reasons of those that cannot be read."""
    pictures: dict[Path, Picture] = {}
    unreadable: dict[Path, str] = {}
    unique = list(dict.fromkeys(paths))
    for done, path in enumerate(unique, start=1):
        try:
            data = read_bytes(path)
            pixels = decode(data)
        except ImageError as error:
            unreadable[path] = str(error)
        else:
            height, width = pixels.shape[:2]
            pictures[path] = Picture(path, sha256(data), width, height, fingerprint(pixels))
        if progress:
            progress(done, len(unique))
    return pictures, unreadable


def near_duplicates(
    paths: Iterable[Path], distance: int = DISTANCE, similarity: float = SIMILARITY
) -> list[tuple[Path, Path, int]]:
    """Pairs of ``paths`` that show the same picture, maybe flipped, turned by 90 degrees or re-encoded.

    Files that cannot be decoded are compared with nothing. A path given twice is read once.

    Args:
        paths: image files.
        distance: differing bits of 256 up to which a pair is looked at, 0..256.
        similarity: correlation of the thumbnails from which it counts, -1..1.

    Returns:
        (first, second, differing bits) in the order of ``paths``.
    """
    pictures, _ = read_pictures(paths)
    copies = find_copies(list(pictures.values()), distance, similarity)
    return [(pair.first, pair.second, pair.differing_bits) for pair in copies]


def find_copies(
    pictures: Sequence[Picture], distance: int = DISTANCE, similarity: float = SIMILARITY
) -> list[Copies]:
    """All pairs of exact and near copies, in the order of ``pictures``."""
    prints = [picture.print for picture in pictures]
    near = {(first, second): bits for first, second, bits in matching_pairs(prints, distance, similarity)}
    same: defaultdict[str, list[int]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        same[picture.sha256].append(index)
    # Equal bytes count even where there is nothing to compare: two blanks have no detail.
    exact = {pair for group in same.values() for pair in combinations(group, 2)}
    return [
        Copies(
            pictures[first].path,
            pictures[second].path,
            near.get((first, second), 0),
            exact=(first, second) in exact,
        )
        for first, second in sorted(near.keys() | exact)
    ]


def matching_pairs(
    prints: Sequence[Fingerprint], distance: int = DISTANCE, similarity: float = SIMILARITY
) -> list[tuple[int, int, int]]:
    """Near copies among fingerprints: (first index, second index, differing bits), first < second."""
    if len(prints) < 2:
        return []
    signs = np.stack([item.bits for item in prints]).astype(np.float32) * 2 - 1  # (N, 8, bits)
    thumbs = np.stack([item.thumbnail for item in prints])  # (N, side, side)
    flat = thumbs.reshape(len(prints), -1)
    found: dict[tuple[int, int], int] = {}
    for index, turn in enumerate(SYMMETRIES):
        turned = np.ascontiguousarray(turn(thumbs)).reshape(len(prints), -1)
        for start in range(0, len(prints), _BLOCK):
            # For vectors of +1 and -1 the dot product is (equal bits - differing bits).
            dots = signs[start : start + _BLOCK, 0] @ signs[:, index].T
            differing = np.rint((signs.shape[2] - dots) / 2).astype(int)
            rows, columns = np.nonzero(differing <= distance)
            later = columns > rows + start
            for row, column in _alike(rows[later], columns[later], flat[start:], turned, similarity):
                pair = (row + start, column)
                found[pair] = min(found.get(pair, HASH_SIDE**2), int(differing[row, column]))
    return [(first, second, bits) for (first, second), bits in sorted(found.items())]


def _alike(
    rows: NDArray[np.intp], columns: NDArray[np.intp], first: Array, second: Array, similarity: float
) -> list[tuple[int, int]]:
    """The candidates whose thumbnails correlate by at least ``similarity``."""
    kept: list[tuple[int, int]] = []
    for start in range(0, len(rows), _BLOCK * 8):
        some = slice(start, start + _BLOCK * 8)
        correlation = np.einsum("ij,ij->i", first[rows[some]], second[columns[some]])
        good = correlation >= similarity
        kept.extend(zip(rows[some][good].tolist(), columns[some][good].tolist(), strict=True))
    return kept
