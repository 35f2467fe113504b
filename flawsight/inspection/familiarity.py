"""Whether a picture shows anything the model was trained on."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError
from flawsight.inspection.engines import Float
from flawsight.inspection.strangeness import Strangeness
from flawsight.metadata import ModelMetadata

KIND, MEAN_ALONE = "planes", "subspace"  # the latter in models of before, which have one plane
FIELDS = 4  # each way, into which a picture is divided
LARGEST = 36  # cells each way of a picture that is divided; a larger board has fields with nothing on them
FIELD = 4  # cells each way of a field of a larger picture, of which FIELDS each way make a window


@dataclass(frozen=True)
class Plane:
    """A plane near which the vectors of known parts lie.

    A picture is as foreign as its vector lies away from the plane: the residual of Wang et al.,
    "ViM: Out-of-distribution with virtual-logit matching", CVPR 2022. Photographs of other things are told
    best by the residual's share of the vector's length, blank and noisy pictures by the residual itself;
    the larger of the two counts, on one scale.

    Attributes:
        mean: (C,) mean vector of known parts.
        basis: (M, C) orthonormal directions in which known parts differ.
        reach: how far known parts lie.
        scale: length of a residual that counts as 1, like a vector at a right angle to the plane.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    reach: float = 1.0
    scale: float = math.inf

    def distance(self, vector: Float) -> float:
        """How foreign a vector (C,) is: 0 in the plane, 1 as far as known parts lie."""
        angle, residual = self.measures(vector)
        return max(angle, residual / self.scale) / self.reach

    def measures(self, vector: Float) -> tuple[float, float]:
        """Of a vector (C,): sine of its angle to the plane, 0..1, and the length of its residual."""
        away = vector - self.mean
        length = float(np.linalg.norm(away))
        if length == 0:
            return 0.0, 0.0
        residual = float(np.linalg.norm(away - (away @ self.basis.T) @ self.basis))
        return min(1.0, residual / length), residual

    def to_dict(self) -> dict[str, Any]:
        """What ``of`` reads: JSON, the basis as base64 of float16, whose error is far below the reach's."""
        return {
            "mean": np.round(self.mean, 5).tolist(),
            "basis": b64encode(self.basis.astype(np.float16).tobytes()).decode(),
            "reach": round(self.reach, 6),
            **({"scale": round(self.scale, 6)} if math.isfinite(self.scale) else {}),
        }

    @classmethod
    def of(cls, stats: dict[str, Any]) -> Plane:
        """The plane that ``to_dict`` described."""
        mean = np.array(stats["mean"], np.float32)
        basis = np.frombuffer(b64decode(stats["basis"]), np.float16).reshape(-1, len(mean))
        return cls(mean, basis.astype(np.float32), float(stats["reach"]), float(stats.get("scale", math.inf)))


@dataclass(frozen=True)
class KnownParts:
    """What known parts look like to the network, by each of the ``summaries`` of a picture's features.

    Attributes:
        planes: one for each row of ``summaries``, from the first.
        limit: a picture farther than this from any of them is foreign.
        reaches: how far known parts go by the measures of ``strangeness``; empty in models of before.
    """

    planes: tuple[Plane, ...]
    limit: float
    reaches: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: ModelMetadata) -> KnownParts | None:
        """The statistics of a model; ``None`` where its file holds none, and nothing is foreign.

        Raises:
            ModelError: statistics of a kind this program does not know.
        """
        stats = metadata.feature_stats
        if not stats:
            return None
        if stats.get("kind") == MEAN_ALONE:
            return cls((Plane.of({**stats, "reach": stats["threshold"]}),), 1.0)
        if stats.get("kind") != KIND:
            raise ModelError(
                "The model's feature statistics are of kind %(found)r; this program knows %(known)r. "
                "Train it again, or update the program.",
                found=stats.get("kind"),
                known=KIND,
            )
        planes = tuple(Plane.of(plane) for plane in stats["planes"])
        return cls(planes, float(stats["limit"]), stats.get("reaches", {}))

    def to_dict(self) -> dict[str, Any]:
        """What ``of`` reads, as JSON."""
        planes = [plane.to_dict() for plane in self.planes]
        return {"kind": KIND, "limit": round(self.limit, 6), "planes": planes, "reaches": {**self.reaches}}

    def foreignness(self, distance: float, strange: Strangeness) -> tuple[float, str]:
        """How foreign a picture is whose features lie at ``distance``, to be compared with ``limit``.

        ``strange`` is what the picture itself says, measured against ``reaches``; the second value says what
        makes the picture foreign, where that is it.
        """
        by_itself = self.limit * strange.value
        return (by_itself, strange.why) if strange.value > 1 and by_itself > distance else (distance, "")

    def distance(self, look: Look) -> float:
        """How foreign a picture is, 0 for one in all planes; to be compared with ``limit``.

        A large picture shows something known where any window of it does: on a board there are places with
        nothing on them, a blank has nothing anywhere.
        """
        far = self.farthest(look.summaries)
        if len(self.planes) > 1 and len(look.windows):
            far = max(far, min(map(self.planes[1].distance, look.windows)))
        return far

    def farthest(self, vectors: Float) -> float:
        """How far the farthest of the vectors (N, C) lies from its plane."""
        pairs = zip(self.planes, vectors, strict=False)
        return max(plane.distance(vector) for plane, vector in pairs)


@dataclass(frozen=True)
class Look:
    """What features are held against known parts by: ``summaries`` (N, C) and ``windows`` (N, C).

    Of a picture that is not large there are no windows.
    """

    summaries: Float
    windows: Float

    @classmethod
    def at(cls, features: Float) -> Look:
        """Of features (C, h, w)."""
        large = max(features.shape[1:]) > LARGEST
        none = np.empty((0, len(features)), np.float32)
        return cls(summaries(features), windows(features) if large else none)


def summaries(features: Float) -> NDArray[np.float32]:
    """Vectors (N, C) of features (C, h, w): the mean, and the least that any field of the picture has.

    The second tells noise and blanks from parts: what parts have everywhere is missing there, what they have
    in one place is spread out. A picture of more than ``LARGEST`` cells a side has the mean alone; see
    ``windows`` for what it has else.
    """
    channels, height, width = features.shape
    if max(height, width) > LARGEST:
        return np.asarray(features.mean(axis=(1, 2))[None], np.float32)
    weights, shares = _fields(height, width)
    fields = features.reshape(channels, -1) @ weights  # (C, FIELDS**2)
    return np.stack([fields @ shares, fields.min(axis=1)])


def windows(features: Float) -> NDArray[np.float32]:
    """Vectors (N, C) of a large picture's features (C, h, w): the least that any field of each window has.

    Windows overlap by half.
    """
    rows, columns = (_parts(side, max(1, side // FIELD)) for side in features.shape[1:])
    fields = rows @ (features @ columns.T)  # (C, high, wide)
    shape = min(FIELDS, len(rows)), min(FIELDS, len(columns))
    every, step = np.lib.stride_tricks.sliding_window_view(fields, shape, axis=(1, 2)), FIELDS // 2
    least = every[:, ::step, ::step].min(axis=(3, 4))  # (C, windows down, across)
    return np.ascontiguousarray(least.reshape(len(features), -1).T, np.float32)


@lru_cache(maxsize=64)
def _fields(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (h * w, fields) that make of cells (h * w) the mean of each field, and its share of them."""
    rows, columns = (_parts(side, min(FIELDS, side)) for side in (height, width))
    weights = np.ascontiguousarray(np.kron(rows, columns).T)
    return weights, (np.count_nonzero(weights, axis=0) / len(weights)).astype(np.float32)


def _parts(side: int, count: int) -> NDArray[np.float32]:
    """Weights (count, side) that average consecutive parts of a side."""
    edges = np.linspace(0, side, count + 1).astype(int)
    weights = np.zeros((len(edges) - 1, side), np.float32)
    for part, (start, end) in enumerate(pairwise(edges)):
        weights[part, start:end] = 1 / (end - start)
    return weights
