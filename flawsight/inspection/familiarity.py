"""Whether a picture shows anything the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError
from flawsight.inspection.engines import Float
from flawsight.metadata import ModelMetadata

KIND = "class-distance"


@dataclass(frozen=True)
class KnownParts:
    """Where known parts lie in feature space: ``metadata.feature_stats`` as arrays.

    Attributes:
        means: (M, C) mean feature vector of each group of known parts.
        scale: (C,) spread of each channel around its mean.
        limit: a picture farther than this from every mean is foreign.
    """

    means: NDArray[np.float64]
    scale: NDArray[np.float64]
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
        return cls(np.asarray(stats["means"]), np.asarray(stats["scale"]), float(stats["threshold"]))

    def distance(self, features: Float) -> float:
        """Of features (C, h, w): the least, over the means, of ``mean(((f - mean) / scale)²)``.

        f is the mean-pooled feature vector.
        """
        vector = features.mean(axis=(1, 2), dtype=np.float64)
        return float((((vector - self.means) / self.scale) ** 2).mean(axis=1).min())
