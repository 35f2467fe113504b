"""What a model file says about itself: one JSON block, the same in the ``.pth`` and the ``.onnx``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError

FORMAT = "flawsight.model/1"
ONNX_KEY = "flawsight"  # key of the block among the ONNX metadata properties


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input; read by training and serving alike.

    Attributes:
        max_side: a longer image side is reduced to this many pixels (area filter); 0 keeps native scale.
        min_side: a shorter image side is enlarged to this many pixels.
        max_enlargement: but no further than so many times; 0 sets no limit.
        multiple: height and width are padded by reflection to a multiple of this.
        fixed_size: if not 0, the image is squeezed to a square of this side instead of all the above.
        standardise: ``image`` subtracts the image's own mean and divides by its own standard deviation.
        min_std: floor of that deviation, on the 0..255 scale, so a blank stays blank.
    """

    max_side: int = 1024
    min_side: int = 96
    max_enlargement: float = 0.0
    multiple: int = 32
    fixed_size: int = 0
    standardise: str = "image"
    min_std: float = 4.0


@dataclass(frozen=True)
class Decision:
    """How the class map becomes a verdict. Chosen on validation data, movable at run time.

    Attributes:
        pooling: ``mean`` (softmax of the pooled logits) or ``top_cells`` (mean class probability of
            the ``cells`` most suspicious cells).
        cells: that number of cells.
        temperature: divides the log-probabilities of the answer; 1 leaves them alone.
        defect_bias: added to the log-probability of every defect class: training shows defects oftener
            than they are, or the network says them too seldom.
        accept_below: a part whose defect probability is below this is accepted.
        reject_from: a part whose defect probability is at least this is rejected; review in between.
        box_level: a pixel whose probability of any defect is at least this belongs to a defective region.
        box_outline: by class, the share of the region's highest probability that its box still encloses:
            people draw boxes tightly around some defects and widely around others.
        box_score: by class, the least probability in its strongest cell with which a box is shown.
        min_box_area: smallest box side product kept, as a share of the image area.
        template: how a part is held against its template, see ``inspection.template.Rule``; empty in a model
            that cannot.
        sure_from: a model without defects names a class whose probability is at least this; below it asks.
    """

    pooling: str = "top_cells"
    cells: int = 3
    temperature: float = 1.0
    defect_bias: float = 0.0
    accept_below: float = 0.5
    reject_from: float = 0.5
    box_level: float = 0.5
    box_outline: dict[str, float] = field(default_factory=dict)
    box_score: dict[str, float] = field(default_factory=dict)
    min_box_area: float = 0.0
    template: dict[str, Any] = field(default_factory=dict)
    sure_from: float = 0.5


@dataclass(frozen=True)
class ModelMetadata:
    """The record that travels inside a model file.

    ``classes`` fixes the order of every score vector; ``defects`` says which of them are defects.
    ``feature_stats`` holds what the unknown-detector needs (class means and the like), empty if none.
    ``reference`` says how the validation parts look to the model (see ``drift.reference_of``), empty in a
    file of before that. ``metrics`` are figures of the test split with their intervals,
    ``manifest_sha256`` names the exact division they were measured on. ``export`` is the certificate of
    a converted model: its ``precision`` and its ``parity`` with the model it was made from; empty if it
    was not converted. ``product`` holds the texts of the preset it was trained with (``docs/lab.md``).
    """

    name: str
    version: str
    backbone: str
    classes: tuple[str, ...]
    defects: tuple[str, ...]
    stride: int
    preprocessing: Preprocessing = Preprocessing()
    decision: Decision = Decision()
    manifest_sha256: str = ""
    seed: int = 0
    created: str = ""
    dataset: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    feature_stats: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    product: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    @cached_property
    def is_defect(self) -> NDArray[np.bool_]:
        """(K,) which of ``classes`` are defects."""
        return np.array([name in self.defects for name in self.classes], bool)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, source: str = "model file") -> ModelMetadata:
        """Parse the block.

        Raises:
            ModelError: not our block, or of a newer format.
        """
        try:
            raw = json.loads(text)
            found = raw["format"]
            if found != FORMAT:
                raise ModelError(
                    "%(source)s has format %(found)r; this program reads %(format)r. Train or export it "
                    "again, or update the program.",
                    source=source,
                    found=found,
                    format=FORMAT,
                )
            raw["preprocessing"] = Preprocessing(**raw["preprocessing"])
            raw["decision"] = Decision(**raw["decision"])
            raw["classes"] = tuple(raw["classes"])
            raw["defects"] = tuple(raw["defects"])
            return cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                "%(source)s carries no readable Flawsight metadata (%(error)s). Use a model written "
                "by training.py or `python -m flawsight export`.",
                source=source,
                error=error,
            ) from None
