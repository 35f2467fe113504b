"""One photo in, one :class:`Inspection` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight import imaging
from flawsight.errors import ModelError
from flawsight.i18n import ENGLISH, speaking
from flawsight.inspection import explain
from flawsight.inspection.beside import BESIDE
from flawsight.inspection.compare import compare
from flawsight.inspection.decide import Judgement, answer, judge
from flawsight.inspection.engines import Engine, Float, Outputs
from flawsight.inspection.familiarity import KnownParts, Look
from flawsight.inspection.identify import identify
from flawsight.inspection.quality import assess, check_size
from flawsight.inspection.result import Box, Heatmap, ImageInfo, Inspection, ModelInfo
from flawsight.inspection.strangeness import strangeness
from flawsight.inspection.template import Reading, Rule, Template, read
from flawsight.inspection.words import doubt_reason, poor_photo_reason, template_reason, unknown_reason
from flawsight.metadata import Decision, ModelMetadata
from flawsight.preprocessing import Placement, prepare
from flawsight.taxonomy import learn


class Inspector:
    """Inspects images with one engine. Holds no changing state: threads may share it.

    Args:
        engine: the loaded model.
        decision: how to decide, instead of what the model file says.
        max_bytes, max_pixels: limits of :meth:`inspect_bytes`.
    """

    def __init__(
        self,
        engine: Engine,
        decision: Decision | None = None,
        *,
        max_bytes: int = imaging.MAX_BYTES,
        max_pixels: int = imaging.MAX_PIXELS,
    ) -> None:
        self.engine = engine
        self.metadata = replace(engine.metadata, decision=decision) if decision else engine.metadata
        self.known_parts = KnownParts.of(engine.metadata)
        product = engine.metadata.product
        learn(product)
        words = {key: product[key] for key in ("title", "task", "wording") if key in product}
        self._product = {"product": words} if words else {}
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels

    @property
    def model(self) -> ModelInfo:
        return ModelInfo(self.metadata.name, self.metadata.version, self.engine.sha256)

    def inspect_bytes(
        self, data: bytes, name: str, path: str | None = None, template: Template | None = None
    ) -> Inspection:
        """Decode an image file's bytes and inspect it, beside its template if there is one.

        Raises:
            ImageError: the bytes cannot be inspected; the message says why and what to do.
            NoComparison: the model cannot compare with a template.
        """
        start = perf_counter()
        image = imaging.decode(data, max_bytes=self.max_bytes, max_pixels=self.max_pixels)
        digest = imaging.sha256(data)
        decoded = perf_counter()
        check_size(image.shape[1], image.shape[0])
        inspection = self.inspect(image, name=name, path=path, sha256=digest, template=template)
        decoding = (decoded - start) * 1000
        timing = {"decode": decoding, **inspection.timing_ms}
        timing["total"] += decoding
        return replace(inspection, timing_ms=timing)

    def inspect_file(self, path: str | Path, template: Template | None = None) -> Inspection:
        """Read and inspect the image file ``path``.

        Raises:
            ImageError: the file cannot be read or inspected.
            NoComparison: the model cannot compare with a template.
        """
        data = imaging.read_bytes(path, max_bytes=self.max_bytes)
        return self.inspect_bytes(data, Path(path).name, str(path), template)

    @property
    def compares(self) -> bool:
        """Whether the model can hold a part against a template."""
        return bool(self.metadata.decision.template)

    def template(self, data: bytes, name: str) -> Template:
        """An image file's bytes as a template for this model.

        Raises:
            ImageError: the bytes are no picture that could be inspected.
            NoComparison: the model cannot compare with a template.
        """
        Rule.of(self.metadata.decision.template)
        pixels = imaging.decode(data, max_bytes=self.max_bytes, max_pixels=self.max_pixels)
        check_size(pixels.shape[1], pixels.shape[0])
        return Template(pixels, name, imaging.sha256(data))

    def inspect(
        self,
        image: NDArray[np.uint8],
        *,
        name: str,
        path: str | None = None,
        sha256: str | None = None,
        template: Template | None = None,
    ) -> Inspection:
        """Inspect RGB uint8 (H, W, 3).

        ``sha256`` is of the file's bytes; without it, the pixels themselves are hashed. With a ``template``
        only what differs from it can be a defect, see ``inspection.template``.

        Raises:
            ValueError: the array is not RGB uint8.
            ModelError: the network gave no finite numbers.
            NoComparison: the model cannot compare with a template.
        """
        _check(image)
        metadata, clock = self.metadata, _Clock()
        if template:
            Rule.of(metadata.decision.template)  # before any work
        comparing = BESIDE.submit(compare, image, template.pixels) if template else None
        # Nearly done before the picture is prepared for the network, which then has all cores.
        seen = BESIDE.submit(strangeness, image, self.known_parts.reaches if self.known_parts else {})
        assessed = BESIDE.submit(assess, image)
        said, placement = self._run(image, name, clock)
        # Taken beside the heat map; small steps beside it would only wait with it for the interpreter.
        look = BESIDE.submit(Look.at, said.features) if self.known_parts else None
        cells, beside = explain.cell_probabilities(said.class_map), None  # (K, h, w)
        if comparing:
            beside = read(comparing.result(), cells, metadata, placement)
            cells = beside.cells
            clock.lap("compare")
        values = answer(said.logits, explain.real_cells(cells, placement, metadata.stride), metadata)
        ranked = sorted(zip(metadata.classes, values.tolist(), strict=True), key=lambda pair: -pair[1])
        probabilities = dict(ranked)
        clock.lap("decide")
        # The most probable defect is explained, also on a good part: there the evidence is weak.
        explained = next((one for one in probabilities if one in metadata.defects), ranked[0][0])
        heatmap = self._defect_map(cells, said.features, explained, placement)
        clock.lap("explain")
        known = self.known_parts
        distance, strange = None, ""
        if known and look:
            distance, strange = known.foreignness(known.distance(look.result()), seen.result())
        judgement = self._judge(probabilities, distance, strange)
        if template and beside and not beside.comparison.fits:
            with speaking(ENGLISH):
                why = template_reason(template.name, beside.comparison.unlike)
            judgement = _not_judged(judgement, probabilities, why)
        if beside and beside.doubtful and judgement.verdict == "accept":
            with speaking(ENGLISH):
                judgement = replace(judgement, verdict="review", reason=doubt_reason(len(beside.doubtful)))
        clock.lap("decide")
        boxes = self._boxes(cells, judgement, placement, beside)
        clock.lap("explain")
        quality = assessed.result()
        clock.lap("quality")
        height, width = image.shape[:2]
        inspection = Inspection(
            image=ImageInfo(name, path, sha256 or imaging.sha256(image.tobytes()), width, height),
            verdict=judgement.verdict,
            reason=judgement.reason,
            predicted_class=judgement.predicted_class,
            confidence=judgement.confidence,
            defect_probability=judgement.defect_probability,
            probabilities=probabilities,
            boxes=boxes,
            heatmap=heatmap,
            thresholds=self._thresholds(metadata),
            model=self.model,
            method={
                "engine": self.engine.name,
                "manifest_sha256": metadata.manifest_sha256,
                "preprocessing": asdict(metadata.preprocessing),
                "metrics": metadata.metrics,
                "measured_at": self._thresholds(self.engine.metadata),
                "distance": None if distance is None else round(distance, 6),
                "distance_limit": known.limit if known else None,
                **({"strange": strange} if strange else {}),
                **({"template": _said_of(template, beside, boxes)} if template and beside else {}),
                **self._product,
            },
            timing_ms=clock.finish(),
            pixels=image,
            quality=quality,
        )
        return _held_back(inspection)

    def explain(self, image: NDArray[np.uint8], class_id: str) -> Heatmap:
        """What speaks for ``class_id`` in RGB uint8 (H, W, 3), whether or not it is the answer.

        Raises:
            ValueError: the model has no such class, or the array is not RGB uint8.
            ModelError: the network gave no finite numbers.
        """
        if class_id not in self.metadata.classes:
            raise ValueError(f"The model {self.metadata.name} has no class {class_id!r}")
        _check(image)
        said, placement = self._run(image, "the image", _Clock())
        cells = explain.cell_probabilities(said.class_map)
        return self._heatmap(cells, said.features, class_id, placement)

    def _run(self, image: NDArray[np.uint8], name: str, clock: _Clock) -> tuple[Outputs, Placement]:
        """What the network says of the image, and where it lay in the network's input."""
        tensor, placement = prepare(image, self.metadata.preprocessing)
        clock.lap("preprocess")
        said = self.engine.run(tensor[None]).first
        if not np.isfinite(said.logits).all():  # as every feature that is not finite makes them
            raise ModelError(
                f"The model {self.metadata.name} gave no finite numbers for {name}. Train it again."
            )
        clock.lap("forward")
        return said, placement

    @staticmethod
    def _thresholds(metadata: ModelMetadata) -> dict[str, float]:
        decision = metadata.decision
        limits = {"accept_below": decision.accept_below, "reject_from": decision.reject_from}
        return limits if metadata.defects else {**limits, "sure_from": decision.sure_from}

    def _judge(self, probabilities: dict[str, float], distance: float | None, strange: str) -> Judgement:
        if self.metadata.defects:
            judgement = judge(probabilities, self.metadata.defects, self.metadata.decision)
        else:
            judgement = identify(probabilities, self.metadata.decision.sure_from)
        if distance is None or self.known_parts is None or distance <= self.known_parts.limit:
            return judgement
        with speaking(ENGLISH):
            why = unknown_reason(distance, self.known_parts.limit, strange)
        return _not_judged(judgement, probabilities, why)

    def _defect_map(self, cells: Float, features: Float, class_id: str, placement: Placement) -> Heatmap:
        """Where a defect of any kind is likely; ``class_id`` is the likeliest kind.

        Kinds share a place, and a board has several: one class alone shows less of where to look. A model
        that does not decide by its cells shows the evidence for ``class_id``.
        """
        metadata = self.metadata
        if metadata.decision.pooling != "top_cells" or not metadata.defects:
            return self._heatmap(cells, features, class_id, placement)
        return explain.heatmap(
            self._evidence(cells), class_id, explain.DEFECT_MAP, placement, metadata.stride
        )

    def _evidence(self, cells: Float) -> Float:
        """Probability of any defect (h, w), of those of each class (K, h, w)."""
        return np.asarray(cells[self.metadata.is_defect].sum(axis=0))

    def _heatmap(self, cells: Float, features: Float, class_id: str, placement: Placement) -> Heatmap:
        """Evidence for ``class_id``.

        A model that decides by its top cells is explained by the probabilities of those cells, one
        that decides by the pooled logits by CAM.
        """
        metadata = self.metadata
        index = metadata.classes.index(class_id)
        if metadata.decision.pooling == "top_cells":
            evidence, method = cells[index], explain.CLASS_MAP
        else:
            evidence, method = explain.cam(features, self.engine.head, index), explain.CAM
        return explain.heatmap(evidence, class_id, method, placement, metadata.stride)

    def _boxes(
        self, cells: Float, judgement: Judgement, placement: Placement, beside: Reading | None
    ) -> tuple[Box, ...]:
        """Defects on a part that is not good; none where nothing is judged."""
        if judgement.verdict in ("accept", "unknown"):
            return ()
        metadata, decision = self.metadata, self.metadata.decision
        different: tuple[Box, ...] = ()
        if beside:
            different = tuple(box for box in beside.boxes if box.score >= decision.template["score"])
            cells = np.where(self.metadata.is_defect[:, None, None] & ~beside.unseen, np.float32(0), cells)
        find = partial(
            explain.boxes_from_cells, cells, metadata.classes, placement=placement, stride=metadata.stride
        )
        boxes = different + find(defects=metadata.defects, decision=decision)
        if beside and judgement.defect_probability < decision.accept_below:
            return beside.doubtful  # they alone keep the part from being accepted
        if boxes or judgement.verdict == "review":
            found = boxes or (beside.doubtful if beside else ())
            return tuple(sorted(found, key=lambda box: -box.score))
        if beside and beside.boxes:
            return beside.boxes[:1]
        # A rejected part always shows where to look: where a defect is likeliest, however faint. Its kinds
        # share the place, so all of them outline it.
        peak = float(explain.real_cells(self._evidence(cells), placement, metadata.stride).max())
        level = min(decision.box_level, peak / 2)
        faint = replace(decision, box_level=level, box_score={}, min_box_area=0.0)
        return find(defects=metadata.defects, decision=faint)[:1]


def _not_judged(judgement: Judgement, probabilities: dict[str, float], reason: str) -> Judgement:
    likest = max(probabilities, key=lambda name: probabilities[name])
    return replace(
        judgement,
        verdict="unknown",
        predicted_class=likest,
        confidence=probabilities[likest],
        reason=reason,
    )


def _said_of(template: Template, beside: Reading, boxes: Sequence[Box]) -> dict[str, Any]:
    """What a report must say of the template; ``boxed`` are the differences among ``boxes``."""
    return {
        "name": template.name,
        "sha256": template.sha256,
        "fits": beside.comparison.fits,
        "unlike": round(beside.comparison.unlike, 6),
        "differences": len(beside.boxes) if beside.comparison.fits else None,
        "doubtful": len(beside.doubtful),
        "boxed": sum(box in beside.boxes for box in boxes),
    }


def _held_back(inspection: Inspection) -> Inspection:
    """``inspection``, but for a person to decide where it would accept a part on a poor photo."""
    if inspection.verdict != "accept" or not (inspection.quality and inspection.quality.warnings):
        return inspection
    with speaking(ENGLISH):
        return replace(inspection, verdict="review", reason=poor_photo_reason())


class _Clock:
    """Milliseconds by step; a step may have several laps."""

    def __init__(self) -> None:
        self._start = self._last = perf_counter()
        self._steps: dict[str, float] = {}

    def lap(self, step: str) -> None:
        now = perf_counter()
        self._steps[step] = self._steps.get(step, 0.0) + (now - self._last) * 1000
        self._last = now

    def finish(self) -> dict[str, float]:
        return {**self._steps, "total": (perf_counter() - self._start) * 1000}


def _check(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"Expected RGB uint8 (H, W, 3), got {image.dtype} {image.shape}")
