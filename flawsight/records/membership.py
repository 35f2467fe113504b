"""How an inspection gets into a lot: it names the number of a lot that is open while it is filed."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from flawsight.records.tables import InspectionRow, LotPartRow, LotRow


def open_lot(connection: Connection, number: str) -> int | None:
    """The id of the open lot of that number; there is one at most."""
    return connection.scalar(select(LotRow.id).where(LotRow.number == number, LotRow.state == "open"))


def join_lot(connection: Connection, row: InspectionRow) -> None:
    """File ``row`` into the open lot it names, in the transaction that files it."""
    number = row.data.get("context", {}).get("lot", "")
    lot_id = open_lot(connection, number) if number else None
    if lot_id is not None:
        connection.execute(insert(LotPartRow), {"lot_id": lot_id, "inspection_id": row.id})
