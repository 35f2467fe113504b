"""Which models answer: the bench, the shadow and moved thresholds, with who, when and why.

Changes are only ever added, each with the setup it left. The latest one holds, in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from flawsight.errors import FlawsightError
from flawsight.i18n import marked
from flawsight.inspection.library import InstalledModel
from flawsight.records import links
from flawsight.records.store import Store
from flawsight.records.tables import ModelChangeRow

# What was done, in words for people.
KINDS = {
    "install": marked("Installed"),
    "remove": marked("Removed"),
    "switch": marked("Switched to"),
    "add": marked("Put on the bench beside the others"),
    "take_off": marked("Taken off the bench"),
    "roll_back": marked("Rolled back to"),
    "thresholds": marked("Thresholds moved"),
    "reset": marked("Thresholds back to the model's own"),
    "shadow": marked("Answers in the shadow"),
    "end_shadow": marked("No longer in the shadow"),
}
WHY_LENGTH = 500


class BadChange(FlawsightError):
    """A change of the models that cannot be meant; the message says why."""

    code = "bad_model_change"
    status = 400


@dataclass(frozen=True)
class Limits:
    """Thresholds that a person set for one file, instead of those it carries."""

    accept_below: float
    reject_from: float
    sha256: str
    by: str
    at: str  # ISO 8601
    why: str

    @property
    def remark(self) -> str:
        """For the record of an inspection that used them."""
        return f"set by {self.by} on {self.at[:16].replace('T', ' ')} UTC: {self.why}"


@dataclass(frozen=True)
class Setup:
    """Which models answer.

    Attributes:
        bench: keys of the active models; the first is asked unless another is named. Empty: the shipped one.
        shadow: key of the one that answers silently; empty if none.
        shadow_since: number of the change that put it there.
        limits: key to moved thresholds.
        revision: number of the change that led here; 0 before the first.
    """

    bench: tuple[str, ...] = ()
    shadow: str = ""
    shadow_since: int = 0
    limits: dict[str, Limits] = field(default_factory=dict)
    revision: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "bench": list(self.bench),
            "shadow": self.shadow,
            "shadow_since": self.shadow_since,
            "limits": {key: vars(limits) for key, limits in self.limits.items()},
        }

    @classmethod
    def of(cls, row: ModelChangeRow | None) -> Setup:
        if row is None:
            return cls()
        raw = row.setup
        limits = {key: Limits(**value) for key, value in raw["limits"].items()}
        return cls(tuple(raw["bench"]), raw["shadow"], raw["shadow_since"], limits, row.id)


@dataclass(frozen=True)
class Change:
    """One line of the log."""

    id: int
    created_at: datetime
    by: str
    why: str
    kind: str
    model: str
    sha256: str
    setup: Setup


class Models:
    """The setup kept in ``store``. Safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def setup(self) -> Setup:
        """What holds now: one look at the last row."""
        return Setup.of(self.store.first(_LAST))

    def log(self, limit: int = 50) -> list[Change]:
        """Who changed what, latest first."""
        with self.store.transaction("read") as session:
            return [_change(row) for row in session.scalars(_latest(limit))]

    def change(self, change_id: int) -> Change | None:
        """One line of the log."""
        with self.store.transaction("read") as session:
            row = session.get(ModelChangeRow, change_id)
            return _change(row) if row else None

    def note(self, kind: str, model: InstalledModel, by: str, why: str) -> Setup:
        """Record what happened to a file: ``install`` or ``remove``."""
        return self._change(kind, model, by, why, lambda setup: setup)

    def switch(self, model: InstalledModel, by: str, why: str) -> Setup:
        """Let ``model`` alone answer; if it was in the shadow, that ends."""

        def step(setup: Setup) -> Setup:
            if setup.bench == (model.key,):
                raise BadChange("%(key)s is the one that answers already.", key=model.key)
            return replace(setup, bench=(model.key,))

        return self._change("switch", model, by, why, step)

    def add(self, model: InstalledModel, default: str, by: str, why: str) -> Setup:
        """Let ``model`` answer beside the others; ``default`` is on an empty bench."""

        def step(setup: Setup) -> Setup:
            bench = setup.bench or (default,)
            if model.key in bench:
                raise BadChange("%(key)s is on the bench already.", key=model.key)
            return replace(setup, bench=(*bench, model.key))

        return self._change("add", model, by, why, step)

    def take_off(self, model: InstalledModel, by: str, why: str) -> Setup:
        """Let ``model`` answer no longer."""

        def step(setup: Setup) -> Setup:
            rest = tuple(key for key in setup.bench if key != model.key)
            if rest == setup.bench:
                raise BadChange("%(key)s is not on the bench.", key=model.key)
            if not rest:
                raise BadChange(
                    "%(key)s is the only one that answers. Switch to another one instead.", key=model.key
                )
            return replace(setup, bench=rest)

        return self._change("take_off", model, by, why, step)

    def before(self, installed: Collection[str], default: str) -> tuple[str, ...]:
        """The bench before the present one, of models that are still there; empty if there is none."""
        with self.store.transaction("read") as session:
            return _before(session.scalars(_latest(None)), installed, default)

    def roll_back(self, installed: Collection[str], default: str, by: str, why: str) -> Setup:
        """Go back to the bench before the present one."""

        bench = self.before(installed, default)
        if not bench:
            raise BadChange("There is nothing to roll back to: no other model answered before.")
        named = ", ".join(bench)
        return self._change("roll_back", None, by, why, lambda setup: replace(setup, bench=bench), named)

    def move(self, model: InstalledModel, accept: float, reject: float, by: str, why: str) -> Setup:
        """Use these thresholds with ``model`` from now on."""
        if not 0 <= accept <= reject <= 1:  # also refuses what is no number
            raise BadChange("The limits must be 0 ≤ accept below ≤ reject from ≤ 1. Move the sliders.")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        limits = Limits(accept, reject, model.sha256, by, now, why)

        def step(setup: Setup) -> Setup:
            return replace(setup, limits={**setup.limits, model.key: limits})

        return self._change("thresholds", model, by, why, step)

    def reset(self, model: InstalledModel, by: str, why: str) -> Setup:
        """Use the thresholds again that the file of ``model`` carries."""

        def step(setup: Setup) -> Setup:
            if model.key not in setup.limits:
                raise BadChange("%(key)s uses its own thresholds already.", key=model.key)
            return replace(setup, limits={k: v for k, v in setup.limits.items() if k != model.key})

        return self._change("reset", model, by, why, step)

    def shadow(self, model: InstalledModel, by: str, why: str) -> Setup:
        """Let ``model`` answer silently beside the others, in place of any other shadow."""

        def step(setup: Setup) -> Setup:
            if setup.shadow == model.key:
                raise BadChange("%(key)s is the shadow already.", key=model.key)
            if (setup.bench or ((model.key,) if model.shipped else ())) == (model.key,):
                raise BadChange(
                    "%(key)s is the only one that answers, so there is nobody it could be compared with. "
                    "Switch to another one first.",
                    key=model.key,
                )
            return replace(setup, shadow=model.key, shadow_since=setup.revision + 1)

        return self._change("shadow", model, by, why, step)

    def end_shadow(self, by: str, why: str) -> Setup:
        """No model answers silently any longer."""

        def step(setup: Setup) -> Setup:
            if not setup.shadow:
                raise BadChange("No model is in the shadow.")
            return replace(setup, shadow="", shadow_since=0)

        return self._change("end_shadow", None, by, why, step, self.setup().shadow)

    def _change(
        self,
        kind: str,
        model: InstalledModel | None,
        by: str,
        why: str,
        step: Callable[[Setup], Setup],
        named: str = "",
    ) -> Setup:
        why = " ".join(why.split())
        if not why:
            raise BadChange("Say why. The next person who looks at the log will want to know.")
        if len(why) > WHY_LENGTH:
            raise BadChange("The reason is longer than %(most)s characters. Shorten it.", most=WHY_LENGTH)
        with self.store.transaction("write", write=True) as session:
            setup = _with_a_use_for_the_shadow(step(Setup.of(session.scalar(_latest()))))
            row = ModelChangeRow(
                created_at=datetime.now(UTC),
                by=by[:80],
                why=why,
                kind=kind,
                model=model.key if model else named[:120],
                sha256=model.sha256 if model else "",
                setup=setup.to_json(),
            )
            session.add(row)
            session.flush()
            links.append(session.connection(), "model", row.id, links.model_content(row))
            return Setup.of(row)


def _with_a_use_for_the_shadow(setup: Setup) -> Setup:
    """A model that answers alone is no shadow any longer: it would be compared with itself."""
    return replace(setup, shadow="", shadow_since=0) if setup.bench == (setup.shadow,) else setup


def _latest(limit: int | None = 1) -> Any:
    return select(ModelChangeRow).order_by(ModelChangeRow.id.desc()).limit(limit)


_LAST = _latest()


def _before(rows: Iterable[ModelChangeRow], installed: Collection[str], default: str) -> tuple[str, ...]:
    """What a roll back undid is passed over, so that a second one goes one step further."""
    stack: list[tuple[str, ...]] = [(default,)]
    for row in reversed(list(rows)):  # oldest first
        bench = tuple(row.setup["bench"]) or (default,)
        if row.kind == "roll_back":
            while len(stack) > 1 and stack[-1] != bench:
                stack.pop()
        if stack[-1] != bench:
            stack.append(bench)
    present = stack.pop()
    return next((bench for bench in reversed(stack) if bench != present and set(bench) <= set(installed)), ())


def _change(row: ModelChangeRow) -> Change:
    return Change(row.id, row.created_at, row.by, row.why, row.kind, row.model, row.sha256, Setup.of(row))
