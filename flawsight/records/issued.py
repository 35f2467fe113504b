"""Every PDF that leaves is a link of the chain, and each carries the head of the chain with it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from flawsight.records import links
from flawsight.records.links import Head
from flawsight.records.record import Record
from flawsight.records.store import Store
from flawsight.records.tables import LinkRow, ReviewRow
from flawsight.records.verify import head


def issue_report(store: Store, record: Record, render: Callable[[Head], bytes]) -> bytes:
    """The PDF of ``record``, as ``render`` makes it with the head of the chain that it is to print.

    Asked for again, the same document comes with the head it had, and no link is added, until somebody
    answers anew. Whoever keeps a copy thereby keeps the head of that time.

    Raises:
        RecordError: the link cannot be written; then the PDF is not given out either.
    """
    with store.transaction("read") as session:
        earlier = _issued(session, record.id)
    if earlier is not None:
        kept = earlier["head"]
        pdf = render(Head(kept["link"], kept["hash"]))
        if sha256(pdf).hexdigest() == earlier["pdf_sha256"]:
            return pdf
    now = head(store)
    pdf = render(now)
    content = {
        "number": record.number,
        "pdf_sha256": sha256(pdf).hexdigest(),
        "head": {"link": now.seq, "hash": now.hash},
    }
    with store.transaction("write", write=True) as session:
        links.append(session, "pdf", record.id, content)
    return pdf


def _issued(session: Session, record_id: str) -> dict[str, Any] | None:
    """What the link of the latest PDF says, unless somebody has answered since."""
    pdf = (
        select(LinkRow.seq, LinkRow.content)
        .where(LinkRow.ref == record_id, LinkRow.kind == "pdf")
        .order_by(LinkRow.seq.desc())
    )
    found = session.execute(pdf.limit(1)).one_or_none()
    answered = (
        select(func.max(LinkRow.seq))
        .join(ReviewRow, (LinkRow.ref == cast(ReviewRow.id, String)) & (LinkRow.kind == "review"))
        .where(ReviewRow.inspection_id == record_id)
    )
    if found is None or found.seq < (session.scalar(answered) or 0):
        return None
    content: dict[str, Any] = found.content
    return content
