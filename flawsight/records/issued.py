"""Every PDF that leaves is a link of the chain, and each carries the head of the chain with it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from sqlalchemy import select

from flawsight.errors import RecordError
from flawsight.i18n import language
from flawsight.records import links
from flawsight.records.links import Head
from flawsight.records.store import Store
from flawsight.records.tables import LinkRow
from flawsight.records.verify import head


def issue(store: Store, ref: str, number: str, render: Callable[[Head | None], bytes]) -> bytes:
    """A PDF, as ``render`` makes it with the head of the chain that it is to print.

    Asked for again, the same document comes with the head it had and adds no link, as long as what it
    says is the same. Whoever keeps a copy thereby keeps the head of the time it was issued. Where no link can
    be written, the disk being full or the database busy, what is filed can still be read: such a copy
    prints no head.

    Args:
        ref: what it is about: the id of an inspection, or the kind of report and the id of a lot.
        number: of the report, for people.
    """
    if earlier := _issued(store, ref):
        kept = earlier["head"]
        pdf = render(Head(kept["link"], kept["hash"]))
        if sha256(pdf).hexdigest() == earlier["pdf_sha256"]:
            return pdf
    now = head(store)
    pdf = render(now)
    content = {
        "number": number,
        "language": language(),
        "pdf_sha256": sha256(pdf).hexdigest(),
        "head": {"link": now.seq, "hash": now.hash},
    }
    try:
        with store.transaction("write", write=True) as session:
            links.append(session.connection(), "pdf", ref, content)
    except RecordError:
        return render(None)
    return pdf


def _issued(store: Store, ref: str) -> dict[str, Any] | None:
    """What the link of the latest PDF of that kind and language says."""
    latest = (
        select(LinkRow.content)
        .where(
            LinkRow.ref == ref,
            LinkRow.kind == "pdf",
            LinkRow.content["language"].as_string() == language(),
        )
        .order_by(LinkRow.seq.desc())
        .limit(1)
    )
    with store.transaction("read") as session:
        return session.scalar(latest)
