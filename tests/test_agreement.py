"""Agreement of model and people, against figures worked out by hand or in print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import make_inspection
from flask.testing import FlaskClient
from sklearn.metrics import cohen_kappa_score

from flawsight.inspection.agreement import kappa
from flawsight.records import Store
from flawsight.records.agreement import Counted, agreement, summarise
from flawsight.records.reviews import Answer, Reviews
from flawsight.web.trust_view import agreement_warnings, kappa_text

FILED = {"accept": 100, "review": 10, "reject": 40, "unknown": 0}


def test_kappa_of_a_worked_example() -> None:
    """50 grant proposals, two readers: 20 both yes, 15 both no, 5 and 10 apart; kappa is 0.40."""
    found = kappa({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    assert found is not None
    assert (found.n, found.observed) == (50, 0.7) and found.value == pytest.approx(0.4)
    # Its large sample standard error (Fleiss, Cohen and Everitt 1969), worked out by hand: 0.127.
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.127, abs=0.003)


def test_kappa_is_that_of_another_program() -> None:
    pairs = {("a", "a"): 31, ("a", "b"): 4, ("b", "c"): 7, ("c", "c"): 12, ("b", "b"): 22, ("c", "a"): 3}
    one = [pair[0] for pair, count in pairs.items() for _ in range(count)]
    two = [pair[1] for pair, count in pairs.items() for _ in range(count)]
    found = kappa(pairs)
    assert found is not None and found.value == pytest.approx(cohen_kappa_score(one, two))


def test_kappa_of_full_agreement_is_one_without_an_interval() -> None:
    full = kappa({("yes", "yes"): 10, ("no", "no"): 10})
    assert full is not None and (full.value, full.low, full.high) == (1, None, None)
    assert kappa_text(full).startswith("1.00 (agreed on 100.0\N{NO-BREAK SPACE}% of 20 parts; too few")


def test_one_answer_gives_no_kappa_and_the_page_says_so_in_words() -> None:
    one = summarise([Counted("accept", "MT_Free", "reject", "MT_Crack", 1)], {"accept": 1})
    assert one.n == 1 and one.verdicts is None and one.classes is None
    assert kappa_text(one.verdicts).startswith("not defined: too few answers")
    assert kappa({}) is None
    few = {("yes", "yes"): 4, ("no", "no"): 3}
    assert kappa(few) is None and kappa({**few, ("yes", "no"): 1}) is not None


def test_kappa_says_nothing_where_a_judge_never_changes_the_answer() -> None:
    assert kappa({("yes", "yes"): 10}) is None
    assert kappa({("yes", "yes"): 40, ("no", "yes"): 20}) is None
    assert kappa({("yes", "yes"): 40, ("yes", "no"): 20, ("no", "no"): 0}) is None


def test_many_classes_need_more_parts_for_an_interval_than_two() -> None:
    both = kappa({("a", "a"): 6, ("b", "b"): 6, ("a", "b"): 2})
    more = kappa({("a", "a"): 6, ("b", "b"): 5, ("a", "b"): 2, ("c", "c"): 1})
    assert both is not None and both.low is not None and both.n == 14
    assert more is not None and more.low is None and more.n == 14  # 2 · 3² = 18
    assert "too few of them" in kappa_text(more)


def test_miss_and_false_alarm_rates_by_hand() -> None:
    rows = [
        Counted("accept", "MT_Free", "accept", "MT_Free", 45),
        Counted("accept", "MT_Free", "reject", "MT_Crack", 5),  # missed
        Counted("reject", "MT_Crack", "reject", "MT_Crack", 30),
        Counted("reject", "MT_Crack", "accept", "MT_Free", 10),  # a false alarm
        Counted("review", "MT_Crack", "reject", "MT_Blowhole", 5),
        Counted("review", "MT_Free", "accept", "MT_Free", 5),
    ]
    found = summarise(rows, FILED)
    assert found.n == 100 and found.answered == {"accept": 50, "review": 10, "reject": 40, "unknown": 0}
    assert (found.missed.hits, found.missed.n) == (5, 40) and (found.refused.hits, found.refused.n) == (
        10,
        60,
    )
    assert found.missed.interval == pytest.approx((0.0419, 0.2680), abs=1e-4)  # Clopper and Pearson
    crack = next(one for one in found.by_class if one.class_id == "MT_Crack")
    assert (crack.same.hits, crack.same.n, crack.accepted.hits) == (30, 35, 5)
    # 100 accepted parts with 5 of 50 bad hold 10; 10 for review with 5 of 10 bad 5; 40 rejected with 30: 30.
    assert found.corrected_missed == pytest.approx(10 / 45)
    assert found.verdicts is not None and found.verdicts.n == 90
    assert not found.selective and not found.few and agreement_warnings(found) == []


def test_few_answers_are_said_to_say_little() -> None:
    found = summarise([Counted("reject", "MT_Crack", "reject", "MT_Crack", 3)], {"reject": 3})
    [warning] = agreement_warnings(found)
    assert (
        found.few
        and "Only 3 parts that people rejected and 0" in warning
        and "70.8\N{NO-BREAK SPACE}%" in warning
    )


def test_reviews_of_doubtful_parts_alone_are_said_to_mislead() -> None:
    rows = [
        Counted("review", "MT_Crack", "reject", "MT_Crack", 40),
        Counted("review", "MT_Free", "accept", "MT_Free", 40),
        Counted("accept", "MT_Free", "accept", "MT_Free", 2),
    ]
    found = summarise(rows, {"accept": 900, "review": 90})
    assert found.selective and any("900" in text and "only 2" in text for text in agreement_warnings(found))
    never = summarise(rows[:2], {"accept": 900, "review": 90})
    assert never.selective and never.corrected_missed is None, "nothing is known of the accepted ones"


def test_nothing_answered_gives_no_figures() -> None:
    found = summarise([], {"accept": 5})
    assert found.n == 0 and found.missed.value is None and found.verdicts is None and not found.selective


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "instance")) as store:
        yield store


def test_the_latest_answer_counts_and_only_in_its_time(store: Store) -> None:
    inspection = make_inspection("accept", width=32, height=32, boxes=())
    first, second = (store.add(inspection, b"upload", {"original": b"picture"}) for _ in range(2))
    Reviews(store).add(first.id, Answer("A. Kern", "accept", "MT_Free"))
    Reviews(store).add(first.id, Answer("B. Lim", "reject", "MT_Crack"))
    found = agreement(store)
    assert (found.filed["accept"], found.n) == (2, 1) and found.confusion["reject", "accept"] == 1
    assert agreement(store, since=second.created_at).n == 0
    assert agreement(store, until=second.created_at).filed["accept"] == 1
    assert agreement(store, since=datetime.now(UTC) + timedelta(days=1)).filed["accept"] == 0


@pytest.mark.usefixtures("clock_of_berlin")
def test_a_day_on_which_summer_time_ends_is_counted_to_its_end(client: FlaskClient) -> None:
    for day, begin, end in (
        ("2026-10-25", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("2026-03-29", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
    ):
        found = client.get("/api/v1/trust/agreement", query_string={"from": day, "to": day}).get_json()
        assert (found["from"], found["to"]) == (begin, end)
