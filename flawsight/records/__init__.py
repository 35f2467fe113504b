"""History: every inspection is kept whole, in SQLite with its picture files beside it."""

from flawsight.records.accounts import ROLES, Accounts, User
from flawsight.records.record import PICTURES, Record
from flawsight.records.store import Store

__all__ = ["PICTURES", "ROLES", "Accounts", "Record", "Store", "User"]
