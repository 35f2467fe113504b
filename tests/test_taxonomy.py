"""The taxonomy file is complete, honest and readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from flawsight.taxonomy import SEVERITIES, ClassInfo, describe, learn, load_taxonomy
from flawsight.web.view import badge_word

USERS_TYPES = (
    *(f"DAGM_Class{number}" for number in range(1, 11)),
    "MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven", "MT_Free",
    "PCB_open", "PCB_short", "PCB_mousebite", "PCB_spur", "PCB_copper", "PCB_pinhole",
)  # fmt: skip
GOOD = {"DAGM_Free", "MT_Free", "PCB_Free"}
DATASET_OF = {"DAGM": "DAGM", "MT": "Magnetic Tile", "PCB": "DeepPCB"}

classes = pytest.mark.parametrize("info", load_taxonomy().values(), ids=lambda info: info.id)


def test_the_22_types_and_two_good_classes_are_there() -> None:
    assert len(USERS_TYPES) == 22
    assert set(load_taxonomy()) == {*USERS_TYPES, "DAGM_Free", "PCB_Free"}


def test_classes_come_in_file_order_family_by_family() -> None:
    ids = list(load_taxonomy())
    assert ids[:11] == [*USERS_TYPES[:10], "DAGM_Free"]
    assert ids[11:17] == list(USERS_TYPES[10:16])
    assert ids[17:] == [*USERS_TYPES[16:], "PCB_Free"]


def test_exactly_the_free_classes_are_good() -> None:
    assert {info.id for info in load_taxonomy().values() if not info.is_defect} == GOOD


@classes
def test_each_class_names_its_family(info: ClassInfo) -> None:
    assert info.dataset == DATASET_OF[info.id.split("_")[0]]


@classes
def test_each_class_is_described_in_whole_sentences(info: ClassInfo) -> None:
    assert info.title and not info.title.endswith(".")
    for sentence in (info.description, info.recommended_action):
        assert sentence[0].isupper() and sentence.endswith(".")
    assert info.severity in SEVERITIES
    assert type(info.is_defect) is bool


@pytest.mark.parametrize("class_id", [key for key in load_taxonomy() if key not in GOOD])
def test_a_defect_has_causes_and_is_never_released(class_id: str) -> None:
    info = describe(class_id)
    assert len(info.likely_causes) >= 2
    assert info.severity != "none"
    assert "release" not in info.recommended_action.lower()
    assert "review" not in info.recommended_action.lower()  # it is what to do with a part that was rejected


@pytest.mark.parametrize("class_id", sorted(GOOD))
def test_a_good_part_is_worded_as_good(class_id: str) -> None:
    info = describe(class_id)
    wording = f"{info.title} {info.description} {info.recommended_action}".lower()
    assert info.severity == "none" and info.likely_causes == ()
    for word in ("defect", "reject", "scrap", "crack", "fault", "hold", "flaw"):
        assert word not in wording


def test_titles_tell_classes_apart() -> None:
    titles = [info.title for info in load_taxonomy().values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("class_id", ["ok_front", "cap_good", "Normal", "glass_free", "ok", "OK-2"])
def test_an_unlisted_good_folder_counts_as_good(class_id: str) -> None:
    info = describe(class_id)
    assert not info.is_defect and info.severity == "none"


@pytest.mark.parametrize("class_id", ["def_front", "scratch", "tokay", "okra_spot", "not_ok", "no_good"])
def test_an_unlisted_other_folder_counts_as_defect_of_unknown_severity(class_id: str) -> None:
    info = describe(class_id)
    assert info.is_defect and info.severity == "unknown"


def test_an_unknown_severity_word_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        '[X]\ntitle="X"\ndataset="d"\nis_defect=true\ndescription="D."\nseverity="awful"\n'
        'likely_causes=[]\nrecommended_action="Hold."\n',
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match=r"'X'.*'awful'"):
        load_taxonomy(path)


def test_a_missing_field_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[X]\ntitle="X"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"'X'.*description"):
        load_taxonomy(path)


def test_a_class_knows_what_its_product_calls_a_verdict() -> None:
    learn(
        {"classes": {"own_kind": {}}, "task": "identify", "wording": {"accept": "Known", "subject": "kind"}}
    )
    info = describe("own_kind")
    assert badge_word("accept", info) == "KNOWN" and badge_word("unknown", info) == ""
    assert badge_word("accept", describe("MT_Crack")) == ""
