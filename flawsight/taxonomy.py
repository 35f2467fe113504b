"""The classes a unified model can answer, read from one visible file, ``taxonomy.toml``.

A class id (``MT_Crack``, ``DAGM_Free``) is stable text. Its position in a score vector comes only
from the model file's own list, never from here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO, Any

from flawsight.i18n import ENGLISH, language, marked
from flawsight.i18n import gettext as _

TAXONOMY_FILE = Path(__file__).with_name("taxonomy.toml")
NAMED_PERSON_DECIDES = marked("Keep the part apart; a named person decides on rework, repair or scrap.")
IDENTIFY = "identify"  # task of a product whose classes are named, not judged
SEVERITIES = (marked("none"), marked("minor"), marked("major"), marked("critical"), marked("unknown"))

# How a folder's name tells a good class from a defect when the taxonomy does not list it. A name
# that says neither counts as a defect: a good part held back costs less than a bad one let through.
GOOD_WORDS = frozenset({"free", "ok", "okay", "good", "normal", "pass", "perfect", "conforming"})
BAD_WORDS = frozenset(
    {"no", "not", "non", "never", "bad", "ng", "def", "defect", "defective", "fail", "almost"}
)


@dataclass(frozen=True)
class ClassInfo:
    """One class in the words of the trade.

    Attributes:
        id: stable text, also the key in JSON.
        title: short name for people, e.g. "Crack".
        dataset: the family the class belongs to: ``DAGM``, ``Magnetic Tile``, ``DeepPCB`` or another.
        is_defect: ``False`` for a good part.
        description: what is seen, in one or two sentences.
        severity: one of ``SEVERITIES``.
        likely_causes: what in the process usually brings it about; empty when good.
        recommended_action: what to do with the part next.
        facts: more to know, as pairs of a heading and a text.
        wording: what its product calls a verdict, as pairs; empty where it is called as everywhere.
        is_judged: ``False`` for a kind of a product that is only named: no class of it is good or defective.
    """

    id: str
    title: str
    dataset: str
    is_defect: bool
    description: str
    severity: str
    likely_causes: tuple[str, ...]
    recommended_action: str
    facts: tuple[tuple[str, str], ...] = ()
    wording: tuple[tuple[str, str], ...] = ()
    is_judged: bool = True


_learnt: dict[str, ClassInfo] = {}


def learn(product: Mapping[str, Any], name: str = "") -> None:
    """Make the classes of a preset or of a loaded model known to ``describe``; the taxonomy goes first.

    Args:
        product: what ``ModelMetadata.product`` holds. ``classes`` maps a class id to fields of ``ClassInfo``,
            those that are missing are the stand-in's; ``title`` stands for their ``dataset``; a ``task``
            other than ``IDENTIFY`` means that they are judged.
        name: the ``dataset`` of a product without a title.

    Raises:
        ValueError: a field or severity that there is not.
    """
    dataset, is_judged = product.get("title") or name, product.get("task") != IDENTIFY
    wording = tuple((key, str(text)) for key, text in (product.get("wording") or {}).items())
    for class_id, entry in (product.get("classes") or {}).items():
        values = dict(entry)
        values["likely_causes"] = tuple(values.get("likely_causes", ()))
        values["facts"] = tuple(dict(values.get("facts", {})).items())
        try:
            info = replace(
                _stand_in(class_id), dataset=dataset, wording=wording, is_judged=is_judged, **values
            )
        except TypeError as error:
            raise ValueError(f"class {class_id!r}: {error}") from None
        if info.severity not in SEVERITIES:
            raise ValueError(f"class {class_id!r}: severity {info.severity!r} is none of {SEVERITIES}")
        _learnt[class_id] = info


@cache
def load_taxonomy(path: Path = TAXONOMY_FILE) -> dict[str, ClassInfo]:
    """All classes of ``path`` by id, in file order.

    Raises:
        ValueError: an entry lacks a field or names an unknown severity.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    classes = {}
    for class_id, entry in entries.items():
        try:
            info = ClassInfo(id=class_id, **{**entry, "likely_causes": tuple(entry.get("likely_causes", ()))})
        except TypeError as error:
            raise ValueError(f"{path.name}: class {class_id!r}: {error}") from None
        if info.severity not in SEVERITIES:
            raise ValueError(
                f"{path.name}: class {class_id!r}: severity {info.severity!r} is none of {SEVERITIES}"
            )
        classes[class_id] = info
    return classes


def describe(class_id: str) -> ClassInfo:
    """The entry of ``class_id`` in the reader's language, or an honest stand-in if the file has none."""
    known = _known(class_id)
    if known is None:
        return _stand_in(class_id)
    return known if language() == ENGLISH else _translated(known)


def family_of(class_id: str) -> str:
    """The ``dataset`` of ``class_id`` as model files name it, whatever the reader's language."""
    return (_known(class_id) or _stand_in(class_id)).dataset


def _known(class_id: str) -> ClassInfo | None:
    return load_taxonomy().get(class_id) or _learnt.get(class_id)


def _stand_in(class_id: str) -> ClassInfo:
    words = set(re.split(r"[^a-z0-9]+", class_id.lower()))
    good = bool(words & GOOD_WORDS) and not words & BAD_WORDS
    return ClassInfo(
        id=class_id,
        title=class_id.replace("_", " "),
        dataset="custom",
        is_defect=not good,
        description=_("No description is on file for this class."),
        severity="none" if good else "unknown",
        likely_causes=(),
        recommended_action=_("Release to the next step.") if good else _(NAMED_PERSON_DECIDES),
    )


def _translated(info: ClassInfo) -> ClassInfo:
    return replace(
        info,
        title=_(info.title),
        dataset=_(info.dataset),
        description=_(info.description),
        likely_causes=tuple(_(cause) for cause in info.likely_causes),
        recommended_action=_(info.recommended_action),
        facts=tuple((_(heading), _(text)) for heading, text in info.facts),
    )


def messages(
    file: IO[bytes], keywords: object, comment_tags: object, options: object
) -> Iterator[tuple[int, None, str, list[str]]]:
    """What is to be translated in the taxonomy, as Babel's extraction asks for it (see ``babel.cfg``)."""
    for class_id, entry in tomllib.loads(file.read().decode("utf-8")).items():
        texts = [entry["title"], entry["description"], *entry.get("likely_causes", ())]
        for text in (*texts, entry["recommended_action"]):
            yield 0, None, text, [class_id]


def preset_messages(
    file: IO[bytes], keywords: object, comment_tags: object, options: object
) -> Iterator[tuple[int, None, str, list[str]]]:
    """The same in a shipped preset: how the product, its verdicts and its classes are called."""
    content = tomllib.loads(file.read().decode("utf-8"))
    texts = [content["title"], *content.get("wording", {}).values()]
    for entry in content.get("classes", {}).values():
        texts += [entry["title"], entry["description"], *entry.get("likely_causes", ())]
        texts += [entry["recommended_action"], *entry.get("facts", {}), *entry.get("facts", {}).values()]
    for text in filter(None, texts):
        yield 0, None, text, []
