"""Whether a picture shows anything the model was trained on."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError
from flawsight.inspection.engines import Float
from flawsight.metadata import ModelMetadata

KIND = "subspace"


@dataclass(frozen=True)
class KnownParts:
    """Where the features of known parts lie: near a plane through their mean.

    A picture is as foreign as its feature vector lies away from that plane: the residual of Wang et al.,
    "ViM: Out-of-distribution with virtual-logit matching", CVPR 2022. Photographs of other things are told
    best by the residual's share of the vector's length, blank and noisy pictures by the residual itself;
    the larger of the two counts, on one scale.

    Attributes:
        mean: (C,) mean feature vector of known parts.
        basis: (M, C) orthonormal directions in which known parts differ.
        limit: a picture farther than this is foreign.
        scale: length of a residual that counts as 1, like a vector at a right angle to the plane.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    limit: float
    scale: float = math.inf

    @classmethod
    def of(cls, metadata: ModelMetadata) -> KnownParts | None:
        """The statistics of a model; ``None`` where its file holds none, and nothing is foreign.

        Raises:
            ModelError: statistics of a kind this program does not know.
        """
        stats = metadata.feature_stats
        if not stats:
            return None
        if stats.get("kind") != KIND:
            raise ModelError(
                "The model's feature statistics are of kind %(found)r; this program knows %(known)r. "
                "Train it again, or update the program.",
                found=stats.get("kind"),
                known=KIND,
            )
        basis = np.frombuffer(b64decode(stats["basis"]), np.float16).reshape(-1, len(stats["mean"]))
        return cls(
            np.array(stats["mean"], np.float32),
            basis.astype(np.float32),
            float(stats["threshold"]),
            float(stats.get("scale", math.inf)),
        )

    def to_dict(self) -> dict[str, Any]:
        """What ``of`` reads: JSON, the basis as base64 of float16, whose error is far below the limit's."""
        return {
            "kind": KIND,
            "mean": np.round(self.mean, 5).tolist(),
            "basis": b64encode(self.basis.astype(np.float16).tobytes()).decode(),
            "threshold": round(self.limit, 6),
            **({"scale": round(self.scale, 6)} if math.isfinite(self.scale) else {}),
        }

    def distance(self, features: Float) -> float:
        """How foreign features (C, h, w) are, 0 for those in the plane; to be compared with ``limit``."""
        angle, residual = self.measures(features)
        return max(angle, residual / self.scale)

    def measures(self, features: Float) -> tuple[float, float]:
        """Of the mean-pooled vector of features (C, h, w): sine of its angle to the plane, 0..1, and the
        length of its residual."""
        away = features.mean(axis=(1, 2), dtype=np.float32) - self.mean
        length = float(np.linalg.norm(away))
        if length == 0:
            return 0.0, 0.0
        residual = float(np.linalg.norm(away - (away @ self.basis.T) @ self.basis))
        return min(1.0, residual / length), residual
