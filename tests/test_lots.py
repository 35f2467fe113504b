"""Lots: the running decision, who closes and disposes, and that nothing is overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing as done_with
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import make_inspection, make_pictures

from flawsight.errors import NotFound
from flawsight.inspection.result import Box
from flawsight.records import Store
from flawsight.records.assessment import Assessment, Figures, Look, Part, assess, plans
from flawsight.records.lot import DEFAULT_LIMITS, BadLot, Disposal, Lot, LotConflict, LotFilter, Terms
from flawsight.records.lots import Lots
from flawsight.records.pchart import Sampled, p_chart
from flawsight.records.retention import Retention, Rule
from flawsight.records.reviews import Answer, Reviews
from flawsight.records.sampling import BadPlan
from flawsight.records.verify import verify

# Of 20 parts at level II, code letter C: Ac 1 of 5 at AQL 10, by an arrow Ac 1 of 8 at 6.5.
LIMITS = {"critical": "none", "major": "10", "unknown": "6.5", "minor": "10"}
GOOD, CRITICAL, MAJOR, MINOR, UNRATED = "MT_Free", "PCB_open", "MT_Fray", "MT_Uneven", "DAGM_Class1"


def looks(*verdicts: str, **context: str) -> list[Look]:
    """One look a part: a verdict, or a class of defect of a rejected part."""
    made = []
    for index, said in enumerate(verdicts):
        verdict = said if said in ("accept", "review", "unknown") else "reject"
        classes = (said,) if verdict == "reject" and said != "reject" else ()
        made.append(
            Look(
                id=f"{index:032x}",
                number=f"INSP-2026-{index + 1:06d}",
                created_at=datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=index),
                name="part.png",
                part_number="",
                serial=context.get("serial", ""),
                image_sha256=f"{index:064x}",
                verdict=verdict,
                class_id=classes[0] if classes else GOOD,
                confidence=0.9,
                classes=classes,
                reviewer=context.get("reviewer", ""),
            )
        )
    return made


def assessed(found: list[Look], size: int = 20, level: str = "II") -> Assessment:
    """Against samples of 5 and 8 parts, unless told otherwise."""
    return assess(plans(size, level, LIMITS), found)


# --- the running decision -------------------------------------------------------------------------------


def test_each_severity_has_the_sample_and_numbers_of_its_own_plan() -> None:
    rows = {row.severity: (row.plan.n, row.plan.ac, row.plan.re) for row in assessed([]).figures.rows}
    assert rows == {"critical": (8, 0, 1), "major": (5, 1, 2), "unknown": (8, 1, 2), "minor": (5, 1, 2)}


def test_nothing_is_decided_before_the_sample_is_complete() -> None:
    figures = assessed(looks(*["accept"] * 7)).figures
    assert (figures.decision, figures.sample, figures.inspected, figures.to_go) == ("open", 8, 7, 1)
    assert [row.state for row in figures.rows] == ["open", "accept", "open", "accept"]


def test_a_complete_sample_within_every_acceptance_number_accepts() -> None:
    figures = assessed(looks("accept", MAJOR, MINOR, *["accept"] * 4, UNRATED)).figures
    assert (figures.decision, figures.nonconforming, figures.good) == ("accept", 3, 5)


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        ([CRITICAL], "critical"),
        ([MAJOR, MAJOR], "major"),
        ([UNRATED, UNRATED], "unknown"),
        ([MINOR] * 2, "minor"),
    ],
)
def test_a_rejection_number_rejects_at_once_while_most_parts_are_still_to_come(
    found: list[str], severity: str
) -> None:
    figures = assessed(looks(*found)).figures
    assert figures.decision == "reject"
    assert [row.severity for row in figures.rows if row.state == "reject"] == [severity]


def test_an_undecided_part_holds_acceptance_up_but_not_rejection() -> None:
    waiting = assessed(looks("review", *["accept"] * 7)).figures
    assert (waiting.decision, waiting.undecided, waiting.to_go) == ("open", 1, 0)
    assert assessed(looks("unknown", *["accept"] * 7)).figures.decision == "open"
    assert assessed(looks("review", CRITICAL)).figures.decision == "reject"


def test_parts_beyond_the_sample_are_told_but_do_not_count() -> None:
    figures = assessed(looks(*["accept"] * 8, MAJOR, MAJOR, "review")).figures
    major = figures.rows[1]
    assert (figures.decision, major.found, major.beyond, figures.undecided) == ("accept", 0, 2, 0)
    assert (figures.parts, figures.inspected, figures.nonconforming) == (11, 8, 2)


def test_where_none_is_allowed_one_part_rejects_wherever_it_is_found() -> None:
    figures = assessed(looks(*["accept"] * 8, CRITICAL)).figures
    assert figures.decision == "reject"
    assert (figures.rows[0].found, figures.rows[0].beyond) == (1, 0)


def test_every_part_of_a_small_lot_is_inspected() -> None:
    figures = assessed(looks(*["accept"] * 3), size=3).figures
    assert figures.decision == "accept" and figures.sample == 3
    assert [row.plan.n for row in figures.rows] == [3, 3, 2, 3]
    assert figures.rows[1].plan.every_part and not figures.rows[2].plan.every_part


def test_a_part_counts_once_with_its_worst_defect() -> None:
    found = looks("accept", MINOR)
    found.append(Look(**{**vars(found[1]), "classes": (MINOR, CRITICAL), "image_sha256": "f" * 64}))
    figures = assessed(found).figures
    assert [(row.severity, row.found) for row in figures.rows if row.found] == [("critical", 1), ("minor", 1)]
    assert {(bar.class_id, bar.parts) for bar in figures.pareto} == {(MINOR, 2), (CRITICAL, 1)}


def test_pictures_of_one_serial_number_or_one_image_are_one_part() -> None:
    views = [Look(**{**vars(look), "serial": "S1"}) for look in looks("accept", "review")]
    assert [part.state for part in assessed(views).parts] == ["undecided"]
    views.append(Look(**{**vars(views[0]), "serial": "s1", "verdict": "reject", "classes": (MAJOR,)}))
    [part] = assessed(views).parts
    assert (part.state, part.defects, len(part.looks)) == ("nonconforming", (MAJOR,), 3)
    good, open_one, bad = part.looks
    shown = [one.shown_look for one in (part, Part((bad, good)), Part((good, open_one)))]
    assert shown == [bad, bad, open_one], "the first with a defect, else the latest"
    twice = looks("accept") * 2
    assert len(assessed(twice).parts) == 1


def test_a_picture_that_a_person_calls_no_part_is_left_out() -> None:
    found = assessed(looks("accept", "accept") + looks("unknown", reviewer="A. Kern"))
    assert len(found.parts) == 2 and [look.reviewer for look in found.left_out] == ["A. Kern"]


def test_a_rejected_part_without_a_named_defect_counts_among_the_unrated() -> None:
    figures = assessed(looks("reject")).figures
    assert [(row.severity, row.found) for row in figures.rows if row.found] == [("unknown", 1)]


def test_figures_come_back_from_json_as_they_were() -> None:
    figures = assessed(looks(CRITICAL, MAJOR, MAJOR, "review", "accept")).figures
    assert Figures.from_dict(figures.to_dict()) == figures
    assert [(bar.class_id, round(bar.running, 2)) for bar in figures.pareto] == [
        (MAJOR, 0.67),
        (CRITICAL, 1.0),
    ]


# --- the p-chart ----------------------------------------------------------------------------------------


def sampled(*pairs: tuple[int, int]) -> list[Sampled]:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    return [Sampled(i, f"L{i}", now, n, bad) for i, (n, bad) in enumerate(pairs)]


def test_limits_follow_from_each_lots_own_n() -> None:
    """p = 20/500 = 0.04; n = 100 gives 0.04 + 3 * 0.0196 = 0.0988, n = 400 gives 0.0694 and 0.0106."""
    chart = p_chart(sampled((100, 10), (400, 10)))
    assert chart.centre == pytest.approx(0.04)
    small, large = chart.points
    assert (small.lower, small.upper) == (0.0, pytest.approx(0.0988, abs=1e-4))
    assert (large.lower, large.upper) == (pytest.approx(0.0106, abs=1e-4), pytest.approx(0.0694, abs=1e-4))
    assert [(point.lot.number, point.side) for point in chart.outside] == [("L0", "above")]


def test_a_lot_far_below_stands_out_too() -> None:
    chart = p_chart(sampled((1000, 200), (1000, 200), (1000, 60)))
    assert ("L2", "below") in [(point.lot.number, point.side) for point in chart.outside]


def test_few_lots_are_said_to_be_few() -> None:
    assert not p_chart([]).is_drawn and not p_chart(sampled((50, 1), (0, 0))).is_drawn
    assert p_chart(sampled(*[(50, 1)] * 19)).is_provisional
    assert not p_chart(sampled(*[(50, 1)] * 20)).is_provisional


# --- in the store ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "instance")
    yield store
    store.close()


@pytest.fixture
def lots(store: Store) -> Lots:
    return Lots(store)


def terms(number: str = "L-1", size: int = 3, **values: object) -> Terms:
    return Terms(number, size, "II", LIMITS, **values)  # type: ignore[arg-type]


def file(store: Store, verdict: str = "accept", lot: str = "L-1", serial: str = "", **values: object) -> str:
    """The id of an inspection that names ``lot``; each shows another part."""
    file.count += 1  # type: ignore[attr-defined]
    upload = f"upload {file.count}".encode()  # type: ignore[attr-defined]
    made = make_inspection(verdict, upload=upload, width=64, height=48, **{"boxes": (), **values})  # type: ignore[arg-type]
    return store.add(made, upload, make_pictures(made), {"lot": lot, "serial": serial}).id


file.count = 0  # type: ignore[attr-defined]


def closed(lots: Lots, number: str = "L-1", verdicts: tuple[str, ...] = ("accept",) * 3) -> Lot:
    lot = lots.open(terms(number), "Olga")
    for verdict in verdicts:
        file(lots.store, verdict, number)
    return lots.close(lot.id, "reject" if "reject" in verdicts else "accept", "Ines", "seen")


def test_what_is_inspected_while_a_lot_is_open_belongs_to_it(store: Store, lots: Lots) -> None:
    early = file(store)
    lot = lots.open(terms(), "Olga")
    mine = [file(store, lot="l-1"), file(store, "review")]
    file(store, lot="L-2")
    file(store, lot="")
    assert [look.id for part in lots.assess(lot).parts for look in part.looks] == mine
    assert early not in mine and lots.late(lot) == 1


def test_a_persons_answer_counts_instead_of_the_models(store: Store, lots: Lots) -> None:
    lot = lots.open(terms(), "Olga")
    unsure, wrong, good = file(store, "review"), file(store, "reject"), file(store)
    assert lots.assess(lot).figures.decision == "reject"
    reviews = Reviews(store)
    reviews.add(wrong, Answer("Ines", "accept", GOOD))
    assert lots.assess(lot).figures.decision == "open"
    reviews.add(unsure, Answer("Ines", "accept", GOOD))
    assert lots.assess(lot).figures.decision == "accept"
    reviews.add(good, Answer("Ines", "reject", CRITICAL))
    figures = lots.assess(lot).figures
    assert figures.decision == "reject" and figures.rows[0].found == 1


def test_the_boxes_of_a_part_tell_its_other_defects(store: Store, lots: Lots) -> None:
    lot = lots.open(terms(), "Olga")
    boxes = (Box(2, 2, 20, 20, 0.9, MINOR), Box(30, 2, 40, 20, 0.8, CRITICAL))
    file(store, "reject", predicted_class=MINOR, boxes=boxes)
    [part] = lots.assess(lot).parts
    assert part.defects == (CRITICAL, MINOR) and part.severity == "critical"


def test_only_one_lot_of_a_number_is_open_and_the_number_may_come_again(lots: Lots) -> None:
    first = closed(lots)
    again = lots.open(terms(), "Olga")
    with pytest.raises(LotConflict, match="l-1 is open already"):
        lots.open(terms("l-1"), "Otto")
    assert again.id != first.id
    file(lots.store)
    assert (len(lots.assess(first).parts), len(lots.assess(again).parts)) == (3, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"number": ""}, "its number"),
        ({"supplier": "x" * 81}, "up to 80 characters"),
        ({"number": "L\x1b1"}, "all printable"),
        ({"drawn": "somehow"}, "one of: random, other"),
        ({"size": 0}, "A lot has 1 to"),
        ({"limits": {"critical": "none"}}, "no AQL ''"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(lots: Lots, wrong: dict[str, object], message: str) -> None:
    with pytest.raises((BadLot, BadPlan), match=message):
        lots.open(Terms(**{**vars(terms()), **wrong}), "Olga")  # type: ignore[arg-type]
    with pytest.raises(BadLot, match="Say who does this"):
        lots.open(terms(), "")
    assert lots.count(LotFilter()) == 0


def test_a_lot_is_accepted_only_as_its_plans_say(store: Store, lots: Lots) -> None:
    lot = lots.open(terms(), "Olga")
    file(store)
    file(store, "review")
    with pytest.raises(BadLot, match="Still to inspect: 1, still to decide: 1"):
        lots.close(lot.id, "accept", "Ines", "hurry")
    with pytest.raises(BadLot, match="Give the reason"):
        lots.close(lot.id, "withdraw", "Ines")
    file(store, "reject", predicted_class=CRITICAL)
    with pytest.raises(BadLot, match="cannot be accepted"):
        lots.close(lot.id, "accept", "Ines", "hurry")
    with pytest.raises(BadLot, match="one of: accept, reject, withdraw"):
        lots.close(lot.id, "maybe", "Ines")
    done = lots.close(lot.id, "reject", "Ines")
    assert done.state == "rejected" and done.closed and done.closed.by == "Ines"


def test_a_closed_lot_stands_still(store: Store, lots: Lots) -> None:
    lot = closed(lots)
    before = lots.assess(lot)
    file(store, "reject")
    Reviews(store).add(before.parts[0].looks[0].id, Answer("Ines", "reject", CRITICAL))
    assert lots.assess(lot) == before
    assert (lots.changed(lot), lots.late(lot)) == (1, 1)


def test_two_people_closing_at_once_make_one_decision(lots: Lots) -> None:
    lot = lots.open(terms(), "Olga")
    for _ in range(3):
        file(lots.store)

    def close(name: str) -> str:
        try:
            return lots.close(lot.id, "accept", name).state
        except LotConflict as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(close, [f"person {index}" for index in range(8)]))
    assert said.count("accepted") == 1
    assert all("has closed this lot already: accepted" in text for text in said if text != "accepted")
    assert [event.kind for event in lots.get(lot.id).events] == ["opened", "closed"]


def test_dispositions_are_added_and_the_latest_counts(store: Store, lots: Lots) -> None:
    lot = lots.open(terms(), "Olga")
    with pytest.raises(LotConflict, match="still open"):
        lots.dispose(lot.id, Disposal("rework", "why"), "Ines")
    file(store, "reject", predicted_class=CRITICAL)
    lots.close(lot.id, "reject", "Ines")
    with pytest.raises(BadLot, match="one of: accept, reject, rework, sort"):
        lots.dispose(lot.id, Disposal("burn", "why"), "Ines")
    with pytest.raises(BadLot, match="Say in the rationale"):
        lots.dispose(lot.id, Disposal("sort", ""), "Ines")
    lots.dispose(lot.id, Disposal("sort", "One open track.", "Stock blocked.", "8D-17"), "Ines", seen=2)
    with pytest.raises(LotConflict, match="Ines has disposed of this lot meanwhile: sort"):
        lots.dispose(lot.id, Disposal("rework", "Solder."), "Ada", seen=2)
    done = lots.dispose(lot.id, Disposal("rework", "Solder."), "Ada", seen=3)
    assert [(event.kind, event.by, event.decision) for event in done.events] == [
        ("opened", "Olga", ""), ("closed", "Ines", "reject"), ("disposed", "Ines", "sort"),
        ("disposed", "Ada", "rework"),
    ]  # fmt: skip
    assert done.disposed == done.events[-1]
    assert done.events[2].data == {"containment": "Stock blocked.", "reference": "8D-17"}
    assert done.state == "rejected"


def test_figures_outlive_the_parts_that_a_rule_deletes(store: Store, lots: Lots) -> None:
    lot = closed(lots)
    Retention(store).apply(Rule(0, only_accepted=False), "admin", datetime.now(UTC) + timedelta(seconds=1))
    left = lots.assess(lot)
    assert left.parts == () and (left.figures.parts, left.figures.decision) == (3, "accept")
    assert [point.n for point in lots.trend()] == [3]


def test_the_seal_of_a_lot_changes_with_what_is_stated(lots: Lots) -> None:
    lot = closed(lots)
    assert lots.get(lot.id).sha256 == lot.sha256
    assert lots.dispose(lot.id, Disposal("accept", "fine"), "Ines").sha256 != lot.sha256


def test_whoever_alters_what_was_done_with_a_lot_is_found_out(store: Store, lots: Lots) -> None:
    lot = closed(lots)
    lots.dispose(lot.id, Disposal("accept", "fine"), "Ines")
    assert verify(store).ok
    with done_with(sqlite3.connect(store.database)) as database, database:
        database.execute("UPDATE lots SET size = 1, state = 'rejected'")  # is searched, but tells nothing
        assert lots.get(lot.id).terms.size == 3 and lots.get(lot.id).state == "accepted"
        database.execute("UPDATE lot_events SET by = 'Eve' WHERE kind = 'closed'")
    assert not verify(store).ok


def test_lots_are_found_page_by_page(lots: Lots) -> None:
    made = [lots.open(terms(f"A-{i}", part_number="P-1", supplier="Acme"), "Olga").id for i in range(5)]
    other = closed(lots, "B-1").id
    everything = lots.page(LotFilter(), 3)
    assert [line.lot.id for line in everything.lines] == [other, made[4], made[3]]
    assert everything.before is None
    older = lots.page(LotFilter(), 3, after=everything.after)
    assert [line.lot.id for line in older.lines] == [made[2], made[1], made[0]] and older.after is None
    assert lots.page(LotFilter(), 3, before=older.before) == everything
    for wanted, expected in [
        (LotFilter(text="a-"), 5), (LotFilter(text="ACME"), 5), (LotFilter(text="P-"), 5),
        (LotFilter(text="-1"), 0),
        (LotFilter(state="accepted"), 1), (LotFilter(state="open", part_number="p-1"), 5),
        (LotFilter(text="A-1", state="rejected"), 0),
    ]:  # fmt: skip
        assert lots.count(wanted) == len(lots.page(wanted).lines) == expected, wanted
    assert lots.part_numbers() == ["P-1"]
    assert [lot.id for lot in lots.open_lots()] == made[::-1]
    found = lots.named("a-3")
    assert found and found.id == made[3] and lots.named("C-1") is None
    assert (again := lots.named("a-1")) and again.id == made[1] and again.state == "open"


def test_the_trend_holds_decided_lots_oldest_first(lots: Lots) -> None:
    closed(lots, "L-1")
    closed(lots, "L-2", ("reject", "accept", "review"))
    withdrawn = lots.open(terms("L-3"), "Olga")
    lots.close(withdrawn.id, "withdraw", "Ines", "Recalled by the supplier.")
    lots.open(terms("L-4"), "Olga")
    assert [(lot.number, lot.n, lot.nonconforming, lot.undecided) for lot in lots.trend()] == [
        ("L-1", 3, 0, 0),
        ("L-2", 2, 1, 1),
    ]
    assert lots.trend("P-9") == []


def test_an_unknown_lot_is_not_found(lots: Lots) -> None:
    for act in (
        lambda: lots.get(7),
        lambda: lots.close(7, "accept", "Ines"),
        lambda: lots.dispose(7, Disposal("accept", "x"), "Ines"),
    ):
        with pytest.raises(NotFound, match="no such lot"):
            act()


def test_the_default_limits_name_every_severity() -> None:
    assert assess(plans(5_000, "II", DEFAULT_LIMITS), []).figures.sample == 200
