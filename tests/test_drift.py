"""Drift is told when it is there, since when, and not when only other parts are inspected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import make_inspection

from flawsight.data.samples import Sample
from flawsight.inspection.drift import (
    Part,
    change_point,
    group_of,
    mix_of,
    reference_of,
    shift_of,
    state_of,
)
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.quality import Quality
from flawsight.learning.reference import validation_reference
from flawsight.metadata import ModelMetadata
from flawsight.records import Store
from flawsight.records.drift import drift
from flawsight.web.trust_view import shift_facts, shift_sentence

MODEL = "flawsight-unified 1.0.0"


def parts(count: int, seed: int, class_id: str = "MT_Free", middle: float = 1.0) -> list[Part]:
    """Parts whose distance is spread around ``middle``."""
    rng = np.random.default_rng(seed)
    return [Part(class_id, {"distance": float(value)}) for value in rng.normal(middle, 0.2, count)]


# --- places, index and change -------------------------------------------------------------------------


def test_the_same_kind_of_parts_is_steady() -> None:
    reference = reference_of(parts(400, 0))
    states = [shift_of("distance", parts(200, seed), reference) for seed in range(1, 21)]
    assert [shift.state for shift in states if shift] == ["steady"] * 20


@pytest.mark.parametrize("middle", [0.7, 1.3])
def test_a_shift_is_told_with_its_direction_and_since_when(middle: float) -> None:
    recent = parts(100, 1) + parts(120, 2, middle=middle)
    shift = shift_of("distance", recent, reference_of(parts(400, 0)))
    assert shift is not None and shift.state == "moved" and shift.psi > shift.chance
    assert (shift.now > shift.then) == (middle > 1) and (shift.place > 0.5) == (middle > 1)
    assert shift.since is not None and abs(shift.since - 100) < 12
    assert (shift.course[0] - shift.course[-1]) * (1 - middle) > 0


def test_the_figures_of_a_shift_lie_as_its_direction_says_also_where_one_group_moved_otherwise() -> None:
    """Most parts lie lower than others of their group, yet the median of all parts lies higher."""
    usual = {"MT_Free": 5.0, "MT_Crack": 1.0, "PCB_Free": 3.0}
    now = {"MT_Free": (40, 4.7), "MT_Crack": (20, 0.7), "PCB_Free": (45, 4.5)}
    reference = reference_of(part for name, middle in usual.items() for part in parts(200, 0, name, middle))
    recent = [part for name, (count, middle) in now.items() for part in parts(count, 1, name, middle)]
    shift = shift_of("distance", recent, reference)
    assert shift is not None and shift.state == "moved" and shift.direction == -1
    assert np.median([part.figures["distance"] for part in recent]) > 3.5  # that of all
    assert shift.now < shift.then


def test_parts_that_come_back_to_the_reference_moved_from_the_first_on() -> None:
    reference = reference_of(parts(400, 0))
    shift = shift_of("distance", parts(120, 2, middle=1.3) + parts(60, 1), reference)
    assert shift is not None and shift.state == "moved" and shift.course[0] > shift.course[-1]
    assert (shift.since, shift.direction) == (0, 1)
    said = shift_sentence(shift, None)
    assert said.startswith("Parts look less familiar from the first of these parts on: median ")


def test_parts_that_lay_far_off_before_a_change_moved_from_the_first_on() -> None:
    recent = parts(100, 1, middle=1.3) + parts(100, 2, middle=1.8)
    shift = shift_of("distance", recent, reference_of(parts(400, 0)))
    assert shift is not None and (shift.state, shift.since) == ("moved", 0)


def test_parts_that_are_only_spread_otherwise_have_no_date() -> None:
    recent = parts(100, 1, middle=0.7) + parts(100, 2, middle=1.3)
    shift = shift_of("distance", recent, reference_of(parts(400, 0)))
    assert shift is not None and (shift.state, shift.direction, shift.since) == ("moved", 0, None)
    assert shift_sentence(shift, None).startswith("Spread otherwise than the reference: ")


def test_the_limit_that_is_named_is_never_below_chance() -> None:
    reference = reference_of(parts(400, 0))
    few = shift_of("distance", parts(70, 1, middle=1.3), reference)
    many = shift_of("distance", parts(300, 1, middle=1.3), reference)
    assert few is not None and few.chance > 0.25 and many is not None and many.chance < 0.25
    assert f"moved above {few.chance:.2f}, which chance alone" in shift_facts(few)
    assert "0.25" not in shift_facts(few)
    assert f"from 0.25 on it counts as moved; chance alone reaches {many.chance:.2f}" in shift_facts(many)


def test_chance_grows_with_the_few_parts_of_the_reference_group_by_group() -> None:
    reference = reference_of(parts(300, 0) + parts(100, 1, "PCB_Free", middle=5.0))
    one = shift_of("distance", parts(100, 2), reference)
    both = shift_of("distance", parts(60, 2) + parts(40, 3, "PCB_Free", middle=5.0), reference)
    table = 21.666  # chi-square of 9 degrees of freedom at 99 %
    assert one is not None and one.chance == pytest.approx(table * (1 / 100 + 1 / 300), abs=1e-4)
    assert both is not None
    assert both.chance == pytest.approx(table * (1 / 100 + 0.6**2 / 300 + 0.4**2 / 100), abs=1e-4)


def test_other_parts_are_no_drift() -> None:
    """Tiles and boards lie far apart; a line that only makes one of them has not moved."""
    reference = reference_of(parts(200, 0) + parts(200, 1, "PCB_Free", middle=5.0))
    only = shift_of("distance", parts(200, 2, "PCB_Free", middle=5.0), reference)
    assert only is not None and only.state == "steady" and only.reference == 200


def test_equal_values_are_spread_over_the_places_they_share() -> None:
    sure = [Part("MT_Free", {"confidence": value}) for value in [1.0] * 150 + [0.8] * 25 + [0.9] * 25]
    shift = shift_of("confidence", sure, reference_of(sure))
    assert shift is not None and shift.state == "steady"


def test_too_few_parts_are_not_judged() -> None:
    reference = reference_of(parts(400, 0))
    assert shift_of("distance", parts(29, 1), reference) is None
    assert shift_of("distance", parts(100, 1, "PCB_open"), reference) is None, (
        "no such group in the reference"
    )
    assert shift_of("distance", parts(100, 1), reference_of(parts(7, 0))) is None
    assert shift_of("confidence", parts(100, 1), reference) is None


def test_chance_alone_is_no_change() -> None:
    assert state_of(0.3, 0.4) == "steady" and state_of(0.05, 0.01) == "steady"
    assert state_of(0.15, 0.1) == "slightly" and state_of(0.3, 0.1) == "moved"
    rng = np.random.default_rng(0)
    found = [change_point(rng.uniform(size=200)) for _ in range(50)]
    assert sum(point is not None for point in found) <= 2


def test_the_mix_of_classes_is_compared_by_hand_made_numbers() -> None:
    same = mix_of({"a": 50, "b": 50}, {"a": 500, "b": 500})
    assert same is not None and same.psi == pytest.approx(0, abs=1e-4) and same.state == "steady"
    other = mix_of({"a": 20, "b": 80}, {"a": 500, "b": 500})
    assert other is not None and other.state == "moved"
    # (0.2 - 0.5) ln(0.2 / 0.5) + (0.8 - 0.5) ln(0.8 / 0.5), and half a part added to each class
    assert other.psi == pytest.approx(0.416, abs=0.02) and other.shares["b"] == (0.8, 0.5)
    assert mix_of({"a": 29}, {"a": 500}) is None


def test_groups_are_family_and_good_or_defective() -> None:
    assert group_of("MT_Crack") == "Magnetic Tile/defect" and group_of("MT_Free") == "Magnetic Tile/good"


# --- the reference in the model file --------------------------------------------------------------------


def test_the_reference_is_made_of_validation_parts_as_they_are_inspected(
    inspector: Inspector, part_files: Path
) -> None:
    good = Sample(part_files / "good.png", "MT_Free", "Magnetic Tile", "1")
    bad = Sample(part_files / "deep" / "scratched.png", "MT_Crack", "Magnetic Tile", "2")
    reference = validation_reference(inspector, [good] * 9 + [bad])
    assert (reference["n"], reference["classes"]) == (10, {"MT_Crack": 1, "MT_Free": 9})
    known = reference["groups"]["Magnetic Tile/good"]
    assert known["confidence"]["n"] == 9 and len(known["confidence"]["quantiles"]) == 21
    seen = inspector.inspect_file(part_files / "good.png")
    assert known["confidence"]["quantiles"][10] == pytest.approx(seen.confidence, rel=1e-4)
    assert seen.quality and known["brightest"]["quantiles"] == [seen.quality.brightest] * 21
    assert reference["groups"]["Magnetic Tile/defect"] == {}, "one part is no reference"


def test_a_model_file_carries_the_reference_and_an_older_one_has_none(inspector: Inspector) -> None:
    reference = reference_of(parts(20, 0))
    metadata = replace(inspector.metadata, reference=reference)
    assert ModelMetadata.from_json(metadata.to_json()).reference == reference
    older = json.loads(metadata.to_json())
    del older["reference"]
    assert ModelMetadata.from_json(json.dumps(older)).reference == {}


# --- the history ----------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "instance")) as store:
        yield store


INSPECTION = make_inspection("accept", width=32, height=32, boxes=())


def file(store: Store, distances: Sequence[float], brightest: float = 200.0) -> None:
    for distance in distances:
        inspection = replace(
            INSPECTION,
            method={**INSPECTION.method, "distance": distance},
            quality=Quality(0.2, brightest, 10.0),
        )
        store.add(inspection, b"upload", {"original": b"picture"})


def of(reference: dict[str, Any]) -> list[float]:
    quantiles: list[float] = reference["groups"]["Magnetic Tile/good"]["distance"]["quantiles"]
    return quantiles


def test_recent_inspections_are_held_against_the_model_file(store: Store) -> None:
    reference = reference_of(parts(300, 0))
    fresh = drift(store, MODEL, reference)
    assert (fresh.n, fresh.source) == (0, "validation"), (
        "there is something to compare with, from the first part on"
    )
    assert drift(store, MODEL, {}).source == ""
    file(store, of(reference)[1:] * 2)
    steady = drift(store, MODEL, reference)
    assert (steady.n, steady.source, steady.shifts["distance"].state) == (40, "validation", "steady")
    assert "brightest" not in steady.shifts, "the reference does not know it"
    file(store, [2.5] * 40)
    moved = drift(store, MODEL, reference)
    shift = moved.shifts["distance"]
    assert shift.state == "moved" and shift.now > shift.then
    assert moved.first and moved.last and moved.first < moved.since["distance"] < moved.last
    file(store, of(reference)[1:] * 2)
    back = drift(store, MODEL, reference, recent=80)
    assert back.shifts["distance"].since == 0 and "distance" not in back.since, "it began before"
    assert drift(store, "another 2", reference).n == 0


def test_without_a_reference_the_first_inspections_are_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.records.drift.LEAST_FIRST", 40)
    usual = of(reference_of(parts(300, 0)))[1:] * 2
    file(store, usual)
    assert drift(store, MODEL, {}, recent=40).source == "", "nothing but the recent ones"
    file(store, usual, brightest=90.0)
    found = drift(store, MODEL, {}, recent=40)
    assert (found.source, found.n) == ("first", 40)
    assert found.shifts["distance"].state == "steady" and found.shifts["brightest"].state == "moved"
    assert found.shifts["brightest"].now < found.shifts["brightest"].then
    assert found.mix and found.mix.state == "steady" and found.validation_mix is None
