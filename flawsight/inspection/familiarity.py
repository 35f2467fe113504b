"""Whether a picture shows anything the model was trained on."""

from __future__ import annotations

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

    A picture is as foreign as its feature vector points away from that plane. This is the residual of
    Wang et al., "ViM: Out-of-distribution with virtual-logit matching", CVPR 2022, divided by the
    vector's own length: a picture with strong contrast is not foreign for that alone.

    Attributes:
        mean: (C,) mean feature vector of known parts.
        basis: (M, C) orthonormal directions in which known parts differ.
        limit: a picture farther than this is foreign, 0..1.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    limit: float

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
        return cls(np.array(stats["mean"], np.float32), basis.astype(np.float32), float(stats["threshold"]))

    def to_dict(self) -> dict[str, Any]:
        """What ``of`` reads: JSON, the basis as base64 of float16, whose error is far below the limit's."""
        return {
            "kind": KIND,
            "mean": np.round(self.mean, 5).tolist(),
            "basis": b64encode(self.basis.astype(np.float16).tobytes()).decode(),
            "threshold": round(self.limit, 6),
        }

    def distance(self, features: Float) -> float:
        """Of features (C, h, w): sine of the angle between their mean-pooled vector and the plane, 0..1."""
        away = features.mean(axis=(1, 2), dtype=np.float32) - self.mean
        length = float(np.linalg.norm(away))
        if length == 0:
            return 0.0
        return min(1.0, float(np.linalg.norm(away - (away @ self.basis.T) @ self.basis)) / length)
