"""The store: one folder with a SQLite database and, beside it, one folder of files an inspection.

    instance/
    ├── flawsight.db
    ├── writers.lock             held by every process that has the store open
    └── inspections/
        ├── <id>/                upload.bin, original.png, heatmap.png, ...
        └── <id>.writing/        an inspection on its way in

Files first, row last: they are written and flushed under ``<id>.writing``, renamed to ``<id>``, and only
then is the row made and committed. What was acknowledged is therefore always
whole; what a crash cut off still carries its ``pending`` mark and is cleared away at the next start.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import sqlite3
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from flawsight.errors import NotFound, RecordError
from flawsight.inspection.result import Inspection
from flawsight.records import links
from flawsight.records.catalogue import catalogue_row, microseconds, moment, other_classes
from flawsight.records.folder import PENDING, UPLOAD, Picture, content_of, file_folder, file_name
from flawsight.records.membership import join_lot
from flawsight.records.record import CONTEXT, PICTURES, Record, seal
from flawsight.records.tables import CatalogueRow, InspectionRow, NumberRow, OtherClassRow

MIGRATIONS = Path(__file__).with_name("migrations")
WRITING = ".writing"
ORPHAN_AGE_S = 600.0  # younger leftovers may be of another process that is still writing, if there is one
RECENT = 1000  # newest inspections whose mark may have outlived a crash
LISTED = 20  # lost inspections that the log names
BUSY_TIMEOUT_S = 30.0
_ID = re.compile(r"[0-9a-f]{32}")
_COUNTING = (
    insert(NumberRow)
    .on_conflict_do_update(index_elements=["year"], set_={"last": NumberRow.last + 1})
    .returning(NumberRow.last)
)
_LATEST = select(func.max(CatalogueRow.at))
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

log = logging.getLogger(__name__)


class Store:
    """The history in ``instance``; safe to share between threads, and to open from several processes.

    Args:
        instance: the folder; made if missing.
        orphan_age_s: leftovers of a crash are removed on opening, while other processes have the store open
            only those older than this many seconds.
        make: whether to begin a history where there is none.

    Raises:
        RecordError: the folder or the database cannot be used; the message says why.
    """

    def __init__(self, instance: Path, orphan_age_s: float = ORPHAN_AGE_S, *, make: bool = True) -> None:
        self.instance = Path(instance).absolute()
        self.database = self.instance / "flawsight.db"
        self.folder = self.instance / "inspections"
        if not make and not self.database.is_file():
            raise RecordError(
                "There is no history in %(instance)s. Name its folder with --instance or FLAWSIGHT_INSTANCE.",
                instance=self.instance,
            )
        with self._errors("open"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(self.database)
            _migrate(self._engine)
            self._lock = _WritersLock(self.instance / "writers.lock")
        self._clock_doubted = False
        self._repair(None if self._lock.alone else orphan_age_s)
        self._lock.share()

    def add(
        self,
        inspection: Inspection,
        upload: bytes,
        pictures: Mapping[str, Picture],
        context: Mapping[str, str] | None = None,
    ) -> Record:
        """File ``inspection`` with the bytes as received and its encoded pictures.

        Pictures that are still being made are written as they come. ``context`` says which part it was, see
        ``record.CONTEXT``; what is empty is not kept.

        When this returns, everything is on disk; when it raises, nothing is kept.

        Raises:
            RecordError: it cannot be written (disk full, read-only, ...).
            ValueError: a picture's name is none of ``PICTURES``, or a key of the context is unknown.
        """
        if unknown := set(pictures) - set(PICTURES):
            raise ValueError(f"Pictures must be named as in {PICTURES}, got {sorted(unknown)}")
        if unknown := set(context or ()) - set(CONTEXT):
            raise ValueError(f"The context may say {tuple(CONTEXT)}, got {sorted(unknown)}")
        record_id = uuid.uuid4().hex
        writing, final = self.folder / (record_id + WRITING), self.folder / record_id
        data = inspection.to_dict()
        if known := {key: value for key, value in (context or {}).items() if value}:
            data["context"] = known
        with self._errors("write"):
            try:
                seals = file_folder(upload, pictures, writing, final)
                names = {name: file_name(name, content_of(picture)) for name, picture in pictures.items()}
                hashes = {name: seals[name] for name in pictures}
                with self._writing() as connection:
                    row = self._file_row(connection, record_id, data, names, hashes)
                    links.append(connection, "inspection", row.id, links.inspection_content(row, seals))
                    record = self.record(row)
            except BaseException:
                for leftover in (writing, final):
                    shutil.rmtree(leftover, ignore_errors=True)
                raise
        # The row is committed: whatever becomes of the mark, the inspection is filed.
        (final / PENDING).unlink(missing_ok=True)
        return record

    def get(self, record_id: str) -> Record:
        """The record ``record_id``.

        Raises:
            NotFound: there is none, or the id is not even written like one.
            RecordError: the database cannot be read.
        """
        row = None
        if _ID.fullmatch(record_id):
            with self._errors("read"), self._session() as session:
                row = session.get(InspectionRow, record_id)
        if row is None:
            raise no_inspection()
        return self.record(row)

    def recent(self, limit: int = 20) -> list[Record]:
        """The latest records, newest first."""
        newest = select(InspectionRow).order_by(InspectionRow.created_at.desc(), InspectionRow.number.desc())
        with self._errors("read"), self._session() as session:
            return [self.record(row) for row in session.scalars(newest.limit(limit))]

    def count(self) -> int:
        """How many inspections are filed."""
        with self._errors("read"), self._session() as session:
            return session.scalar(select(func.count()).select_from(InspectionRow)) or 0

    def healthy(self) -> bool:
        """Whether the database answers and the folders can be written to."""
        try:
            self.count()
        except RecordError:
            return False
        return all(os.access(path, os.R_OK | os.W_OK) for path in (self.instance, self.folder, self.database))

    def close(self) -> None:
        """Let go of the database's connections."""
        self._engine.dispose()
        self._lock.release()

    def record(self, row: InspectionRow) -> Record:
        """The value of ``row``."""
        folder = self.folder / row.id
        return Record(
            id=row.id,
            number=row.number,
            created_at=row.created_at,
            data=row.data,
            upload=folder / UPLOAD,
            pictures={name: folder / file for name, file in row.pictures.items()},
            record_sha256=row.record_sha256,
        )

    def _file_row(
        self,
        connection: Connection,
        record_id: str,
        data: dict[str, Any],
        names: dict[str, str],
        hashes: dict[str, str],
    ) -> InspectionRow:
        """Give the next number and insert the row. The date is taken under the lock: numbers follow time."""
        created_at = datetime.now(UTC)
        running = connection.scalar(_COUNTING, {"year": created_at.year, "last": 1})
        number = f"INSP-{created_at.year}-{running:06d}"
        row = InspectionRow(
            id=record_id,
            number=number,
            created_at=created_at,
            verdict=data["verdict"],
            predicted_class=data["predicted_class"],
            image_sha256=data["image"]["sha256"],
            data=data,
            pictures=names,
            record_sha256=seal(data, number, created_at, hashes),
        )
        _insert(connection, row)
        at = self._free_moment(connection, created_at)
        _insert(connection, catalogue_row(row, at))
        join_lot(connection, row)
        if others := other_classes(data):
            connection.execute(insert(OtherClassRow), [{"class_id": name, "at": at} for name in others])
        return row

    def _free_moment(self, connection: Connection, created_at: datetime) -> int:
        """``created_at`` in microseconds since 1970, or the next that no other inspection has."""
        at = microseconds(created_at)
        latest = connection.scalar(_LATEST)
        if latest is None or latest < at:
            return at
        self._doubt_clock(created_at, moment(latest))
        while connection.scalar(select(CatalogueRow.at).where(CatalogueRow.at == at)):
            at += 1
        return at

    def _doubt_clock(self, now: datetime, latest: datetime) -> None:
        """Say once that the clock must have been set back: the order of numbers is right all the same."""
        if latest > now and not self._clock_doubted:
            self._clock_doubted = True
            log.warning(
                "The clock of this computer says %s, but an inspection was filed at %s. Set the clock right; "
                "until then dates do not follow the running numbers.",
                now.isoformat(timespec="seconds"),
                latest.isoformat(timespec="seconds"),
            )

    def _repair(self, older_than_s: float | None) -> None:
        """Remove what crashed writers left behind, and say so; anything once filed is left alone.

        ``None``: nobody else is writing, so whatever is unfinished stays so.
        """
        with self._errors("read"), self._session() as session:
            filed = set(session.scalars(select(InspectionRow.id)))
            newest = select(InspectionRow.id).order_by(InspectionRow.created_at.desc()).limit(RECENT)
            recent = list(session.scalars(newest))
        for record_id in recent:
            with self._errors("repair"):
                (self.folder / record_id / PENDING).unlink(missing_ok=True)
        horizon = float("inf") if older_than_s is None else time.time() - older_than_s
        for folder in self.folder.iterdir():
            with self._errors("repair"):
                if folder.name in filed or not folder.is_dir():
                    continue
                if folder.suffix != WRITING and not (folder / PENDING).exists():
                    log.warning(
                        "Folder %s belongs to no inspection in the database; it was left alone.", folder
                    )
                elif folder.stat().st_mtime <= horizon:
                    shutil.rmtree(folder)
                    log.warning("Removed %s: an inspection that was never finished.", folder)
        missing = sorted(filed - {folder.name for folder in self.folder.iterdir()})
        for record_id in missing[:LISTED]:
            log.error("Inspection %s has lost its files; restore %s from a backup.", record_id, self.folder)
        if len(missing) > LISTED:
            log.error("So have %d more.", len(missing) - LISTED)

    def first(self, statement: Select[Any], **values: object) -> Any:
        """The first row that ``statement`` reads, given ``values`` for its parameters; ``None`` without one.

        Without a session: that takes three times as long, and every inspection has several such looks. A
        statement that is made once and kept is sooner read, too.

        Raises:
            RecordError: the database cannot be read.
        """
        with self._errors("read"), self._engine.connect() as connection:
            return connection.execute(statement, values).first()

    @contextmanager
    def transaction(self, doing: str, write: bool = False) -> Iterator[Session]:
        """A session in one transaction, for the other parts of the records.

        Raises:
            RecordError: the database cannot be used; ``doing`` is the verb of the message.
        """
        with self._errors(doing), self._session(write) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A connection in one writing transaction. Every inspection waits for it: a session takes longer."""
        with self._engine.execution_options(flawsight_write=True).begin() as connection:
            yield connection

    @contextmanager
    def _session(self, write: bool = False) -> Iterator[Session]:
        """A session in one transaction; a writer takes the lock at its start, so it never has to retry."""
        engine = self._engine.execution_options(flawsight_write=write)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            session.connection()  # begin now, not at the first statement
            yield session

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what the disk or the database raises into a RecordError that a person can act on."""
        try:
            yield
        except (OSError, SQLAlchemyError) as error:
            log.debug("Could not %s %s", doing, self.instance, exc_info=True)
            raise _explained(error, doing, self.instance, self.database) from error


def no_inspection() -> NotFound:
    """That an inspection is not there, or no longer."""
    return NotFound("There is no such inspection. Look for it in the history, or inspect the part again.")


class _WritersLock:
    """Tells whether other processes have the store open; the system lets go of it for a killed one.

    Where locks are unknown or refused (some network folders), others must be expected: never ``alone``.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        self.release = weakref.finalize(self, os.close, self._file)
        self.alone = self._try("LOCK_EX")

    def share(self) -> None:
        """From here on this process may write, and so may others."""
        self._try("LOCK_SH", wait=True)

    def _try(self, kind: str, wait: bool = False) -> bool:
        try:
            import fcntl

            fcntl.flock(self._file, getattr(fcntl, kind) | (0 if wait else fcntl.LOCK_NB))
        except (ImportError, OSError):
            return False
        return True


def _insert(connection: Connection, row: InspectionRow | CatalogueRow) -> None:
    values = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    connection.execute(insert(type(row)), values)


def _engine(database: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(database)),
        connect_args={"timeout": BUSY_TIMEOUT_S},
        json_serializer=partial(json.dumps, allow_nan=False),
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin in _on_begin, not when the driver sees fit
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged inspection outlives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers and the writer work side by side.

    The switch needs the file alone for a moment and does not wait for it, so two processes that
    make a new database at once have to try again.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _on_begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("flawsight_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the database to this program's schema, in one transaction that waits for its turn."""
    if _revision(engine) == max(path.name.split("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*.py")):
        return  # each file is named after its revision
    from alembic import command  # here: a tenth of a second and 20 MB that few starts need
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(flawsight_write=True).begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise RecordError(
                "The database %(database)s was made by a newer version (%(error)s). Update the program.",
                database=engine.url.database,
                error=error,
            ) from error


def _revision(engine: Engine) -> str | None:
    """The schema the database has; ``None`` if it is new."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return None
        revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return revision


def _explained(error: Exception, doing: str, instance: Path, database: Path) -> RecordError:
    """What went wrong and what to do next, in one or two sentences."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = str(cause)
    if getattr(cause, "errno", None) in _DISK_FULL or "disk is full" in text:
        return RecordError(
            "The disk that holds %(instance)s is full; nothing was stored. Free some space and try again.",
            instance=instance,
        )
    if "not a database" in text or "malformed" in text:
        return RecordError(
            "The database %(database)s is damaged (%(cause)s). Restore it from a backup or move it aside.",
            database=database,
            cause=text,
        )
    if "readonly" in text or getattr(cause, "errno", None) in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return RecordError(
            "%(instance)s may not be written to. Give this user write access, or set FLAWSIGHT_INSTANCE.",
            instance=instance,
        )
    if "locked" in text:
        return RecordError(
            "The database %(database)s stayed busy for %(seconds)s s. Try again in a moment.",
            database=database,
            seconds=f"{BUSY_TIMEOUT_S:.0f}",
        )
    return RecordError(
        "Could not %(doing)s the history in %(instance)s (%(cause)s). Check the folder, or set "
        "FLAWSIGHT_INSTANCE.",
        doing=doing,
        instance=instance,
        cause=text,
    )
