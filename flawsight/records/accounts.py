"""Who may sign in: users with a role and a password, API tokens, sessions, and limits on guessing.

Passwords are kept as salted scrypt hashes. Tokens and session secrets are long random text, so a plain
SHA-256 of them is kept: whoever reads the database can use none of them.

Everything lies in the database, so several server processes agree on who is signed in and how often
somebody guessed wrong.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from flawsight.errors import FlawsightError, NotFound
from flawsight.i18n import marked
from flawsight.records.store import Store
from flawsight.records.tables import AttemptRow, SessionRow, TokenRow, UserRow

ROLES = (marked("operator"), marked("inspector"), marked("admin"))  # each may do all that those before it may
PASSWORD_LENGTH = range(10, 201)  # characters
TITLE_LENGTH = 80
TOKEN_PREFIX = "flawsight_"  # lets scanners for leaked secrets know one
TOUCH = timedelta(minutes=1)  # how exactly "last used" is kept; spares a write a request

# Wrong passwords: so many are free, each further one doubles the wait, from one second to LONGEST_WAIT.
FREE_TRIES = {"account": 5, "address": 20}
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_ANYBODY = select(UserRow.id).limit(1)


class AccountError(FlawsightError):
    """An account cannot be made or changed like that."""

    code = "bad_account"
    status = 400


class WrongPassword(FlawsightError):
    """Name and password do not belong together; never says which of them is wrong."""

    code = "wrong_password"
    status = 401


class TooManyAttempts(FlawsightError):
    """Too many wrong passwords; ``retry_after`` seconds must pass before the next try."""

    code = "too_many_attempts"
    status = 429

    def __init__(self, retry_after: int) -> None:
        minutes, seconds = -(-retry_after // 60), retry_after
        if seconds < 60:
            message = marked("Too many wrong passwords. Try again in %(seconds)s s.")
        else:
            message = marked("Too many wrong passwords. Try again in %(minutes)s min.")
        super().__init__(message, seconds=seconds, minutes=minutes)
        self.retry_after = retry_after


@dataclass(frozen=True)
class User:
    """Somebody who may sign in; ``id`` is 0 for a user that no database keeps."""

    id: int
    name: str
    role: str
    enabled: bool = True
    has_password: bool = False
    created_at: datetime | None = None

    def may(self, role: str) -> bool:
        """Whether this user may do what ``role`` may."""
        return self.enabled and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Token:
    """An API token as listed; the token itself was shown once."""

    id: int
    user_id: int
    title: str
    created_at: datetime
    used_at: datetime | None


class Accounts:
    """The accounts in ``store``'s database; safe to share between threads.

    Args:
        now: the clock, for tests.
    """

    def __init__(self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        # One password at a time: each takes 32 MB and 0.1 s, which a crowd of guessers must not multiply.
        self._hashing = threading.Lock()
        self._nobody: str | None = None

    # --- users -----------------------------------------------------------------------------------

    def any(self) -> bool:
        """Whether there is any account."""
        return self._store.first(_ANYBODY) is not None

    def users(self) -> list[User]:
        """All users by name."""
        with self._store.transaction("read") as session:
            return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def get(self, user: int | str) -> User:
        """The user of that id or name.

        Raises:
            NotFound: there is none.
        """
        with self._store.transaction("read") as session:
            return _user(_row(session, user))

    def add(self, name: str, role: str, password: str | None = None) -> User:
        """A new user; without a password only tokens let them in.

        Raises:
            AccountError: the name is taken or odd, the password too weak, or nobody is an admin yet.
        """
        name = name.strip().lower()
        if not _NAME.fullmatch(name):
            raise AccountError(
                "A user's name has 1 to 64 letters a-z, digits, or . _ @ - and begins with a letter or digit."
            )
        _check_role(role)
        hashed = None if password is None else self._hash(password, name)
        with self._store.transaction("write", write=True) as session:
            if session.scalar(select(UserRow.id).where(UserRow.name == name)):
                raise AccountError("There is a user %(name)r already. Choose another name.", name=name)
            nobody = session.scalar(select(UserRow.id).limit(1)) is None
            if nobody and not (role == "admin" and hashed):
                raise AccountError(
                    "The first user must be an admin with a password, who can then add the others."
                )
            row = UserRow(name=name, role=role, password=hashed, enabled=True, created_at=self._now())
            session.add(row)
            session.flush()
            return _user(row)

    def ensure_admin(self, name: str, password: str) -> User:
        """``name`` as an admin with exactly this password, made or changed only if need be.

        Raises:
            AccountError: the password is too weak.
        """
        with self._store.transaction("read") as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name))
        if row is None:
            try:
                return self.add(name, "admin", password)
            except AccountError:
                if all(user.name != name for user in self.users()):
                    raise  # otherwise another process was faster
        elif not (row.password and self._verify(row.password, password)):
            self.set_password(name, password)
        return self.change(name, role="admin", enabled=True)

    def change(self, user: int | str, role: str | None = None, enabled: bool | None = None) -> User:
        """Give ``user`` another role, shut them out, or let them in again.

        Raises:
            NotFound: there is no such user.
            AccountError: no admin who can sign in would be left.
        """
        if role is not None:
            _check_role(role)
        with self._store.transaction("write", write=True) as session:
            row = _row(session, user)
            row.role = row.role if role is None else role
            row.enabled = row.enabled if enabled is None else enabled
            if not row.enabled:
                session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            _keep_an_admin(session)
            return _user(row)

    def set_password(self, user: int | str, password: str) -> User:
        """A new password; it ends all sessions of ``user`` and forgives wrong guesses.

        Raises:
            NotFound: there is no such user.
            AccountError: the password is too weak.
        """
        hashed = self._hash(password, self.get(user).name)
        with self._store.transaction("write", write=True) as session:
            row = _row(session, user)
            row.password = hashed
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            session.execute(delete(AttemptRow).where(AttemptRow.key == f"account:{row.name}"))
            return _user(row)

    def remove(self, user: int | str) -> None:
        """Remove ``user`` with their tokens and sessions; what they inspected stays.

        Raises:
            NotFound: there is no such user.
            AccountError: others would be left without an admin.
        """
        with self._store.transaction("write", write=True) as session:
            session.delete(_row(session, user))
            session.flush()
            _keep_an_admin(session)

    # --- signing in ------------------------------------------------------------------------------

    def check_password(self, name: str, password: str, address: str = "") -> User:
        """The user of that name and password.

        Args:
            address: where the request came from; guesses are counted by account and by address.

        Raises:
            WrongPassword: no such user, another password, or shut out.
            TooManyAttempts: not looked at, since there were too many wrong ones.
        """
        name = name.strip().lower()[:64]
        keys = [f"account:{name}", *([f"address:{_network(address)}"] if address else [])]
        self._count_attempt(keys)
        with self._store.transaction("read") as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name))
        # The same work for a name that is not there, so that the time tells nothing.
        right = self._verify(row.password if row and row.password else self._dummy(), password)
        if not right or row is None or not row.password or not row.enabled:
            raise WrongPassword("The name or the password is wrong.")
        self._forgive(keys)
        return _user(row)

    def start_session(self, user: User) -> str:
        """The secret of a new session for ``user``, to be kept by their browser."""
        secret = secrets.token_urlsafe(32)
        with self._store.transaction("write", write=True) as session:
            session.execute(delete(SessionRow).where(SessionRow.seen_at < self._now() - FORGOTTEN_AFTER))
            now = self._now()
            session.add(SessionRow(digest=_digest(secret), user_id=user.id, created_at=now, seen_at=now))
        return secret

    def session_user(
        self, secret: str, idle: timedelta, longest: timedelta, used: bool = True
    ) -> User | None:
        """Whose session ``secret`` is; ``None`` if unknown, ended, unused for ``idle`` or older than
        ``longest``. A clock that was set back ends it too, rather than letting it live on.

        Args:
            used: whether this is a use, from which ``idle`` counts anew.
        """
        digest, now = _digest(secret), self._now()
        with self._store.transaction("read") as session:
            found = session.get(SessionRow, digest)
            row = session.get(UserRow, found.user_id) if found else None
        if found is None or row is None or not row.enabled:
            return None
        if abs(now - found.seen_at) > idle or abs(now - found.created_at) > longest:
            self.end_session(secret)
            return None
        if used and abs(now - found.seen_at) > TOUCH:
            with self._store.transaction("write", write=True) as session:
                if again := session.get(SessionRow, digest):
                    again.seen_at = now
        return _user(row)

    def end_session(self, secret: str) -> None:
        """Sign out."""
        with self._store.transaction("write", write=True) as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == _digest(secret)))

    # --- tokens ----------------------------------------------------------------------------------

    def add_token(self, user: int | str, title: str) -> str:
        """A new API token of ``user``. Show it now: only its hash is kept.

        Raises:
            NotFound: there is no such user.
            AccountError: the title is empty or too long, or a token of the user bears it already.
        """
        title = " ".join(title.split())
        if not 0 < len(title) <= TITLE_LENGTH:
            raise AccountError(
                "Name the token, in 1 to %(title_length)s characters: what will use it?",
                title_length=TITLE_LENGTH,
            )
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with self._store.transaction("write", write=True) as session:
            row = _row(session, user)
            if session.scalar(select(TokenRow).where(TokenRow.user_id == row.id, TokenRow.title == title)):
                # Also what a page says that is loaded again: its form is sent once more.
                raise AccountError(
                    "%(name)s already has a token for “%(title)s”. Remove that one first, or give the new "
                    "one another name.",
                    name=row.name,
                    title=title,
                )
            session.add(TokenRow(user_id=row.id, title=title, digest=_digest(token), created_at=self._now()))
        return token

    def tokens(self, user: int | str) -> list[Token]:
        """The tokens of ``user``, oldest first.

        Raises:
            NotFound: there is no such user.
        """
        with self._store.transaction("read") as session:
            row = _row(session, user)
            mine = select(TokenRow).where(TokenRow.user_id == row.id).order_by(TokenRow.id)
            return [
                Token(token.id, token.user_id, token.title, token.created_at, token.used_at)
                for token in session.scalars(mine)
            ]

    def remove_token(self, user: int | str, token_id: int) -> None:
        """Make one token of ``user`` useless.

        Raises:
            NotFound: there is no such user, or they have no such token.
        """
        with self._store.transaction("write", write=True) as session:
            row = _row(session, user)
            token = session.get(TokenRow, token_id)
            if token is None or token.user_id != row.id:
                raise NotFound(
                    "%(name)s has no token %(token_id)s. List them, then try again.",
                    name=row.name,
                    token_id=token_id,
                )
            session.delete(token)

    def token_user(self, token: str) -> User | None:
        """Whose token it is; ``None`` if nobody's or its user is shut out."""
        digest, now = _digest(token), self._now()
        with self._store.transaction("read") as session:
            found = session.scalar(select(TokenRow).where(TokenRow.digest == digest))
            row = session.get(UserRow, found.user_id) if found else None
        if found is None or row is None or not row.enabled:
            return None
        if found.used_at is None or abs(now - found.used_at) > TOUCH:
            with self._store.transaction("write", write=True) as session:
                if again := session.get(TokenRow, found.id):
                    again.used_at = now
        return _user(row)

    # --- inside ----------------------------------------------------------------------------------

    def _count_attempt(self, keys: list[str]) -> None:
        """Count a try before it is looked at, so that many at once are not free."""
        now = self._now()
        with self._store.transaction("write", write=True) as session:
            session.execute(delete(AttemptRow).where(AttemptRow.last_at < now - FORGOTTEN_AFTER))
            rows = {key: session.get(AttemptRow, key) for key in keys}
            wait = max((_wait(row, now) for row in rows.values() if row), default=timedelta())
            if wait > timedelta():
                raise TooManyAttempts(int(wait.total_seconds()) + 1)
            for key, row in rows.items():
                if row is None:
                    session.add(AttemptRow(key=key, failures=1, last_at=now))
                else:
                    row.failures, row.last_at = row.failures + 1, now

    def _forgive(self, keys: list[str]) -> None:
        """The try was right: clear the account, and take this one try back from the address."""
        with self._store.transaction("write", write=True) as session:
            for key in keys:
                row = session.get(AttemptRow, key)
                if row is None:
                    continue
                row.failures -= 1
                if key.startswith("account:") or row.failures <= 0:
                    session.delete(row)

    def _hash(self, password: str, name: str) -> str:
        if len(password) not in PASSWORD_LENGTH:
            raise AccountError(
                "A password has %(start)s to %(stop)s characters. Three or four words that do not "
                "belong together make a good one.",
                start=PASSWORD_LENGTH.start,
                stop=PASSWORD_LENGTH.stop - 1,
            )
        if name in password.lower() and len(password) < len(name) + PASSWORD_LENGTH.start:
            raise AccountError("The password is little more than the user's name. Choose another.")
        with self._hashing:
            return generate_password_hash(password)

    def _verify(self, hashed: str, password: str) -> bool:
        with self._hashing:
            return check_password_hash(hashed, password[: PASSWORD_LENGTH.stop])

    def _dummy(self) -> str:
        """The hash of a password that nobody knows."""
        if self._nobody is None:
            self._nobody = self._hash(secrets.token_urlsafe(32), "nobody")
        return self._nobody


def _user(row: UserRow) -> User:
    return User(row.id, row.name, row.role, row.enabled, row.password is not None, row.created_at)


def _row(session: Session, user: int | str) -> UserRow:
    column = UserRow.id if isinstance(user, int) else UserRow.name
    value = user if isinstance(user, int) else user.strip().lower()
    row = session.scalar(select(UserRow).where(column == value))
    if row is None:
        raise NotFound("There is no user %(user)r. List the users, then try again.", user=user)
    return row


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(
            "There is no role %(role)r. It is one of: %(known)s.", role=role, known=", ".join(ROLES)
        )


def _keep_an_admin(session: Session) -> None:
    """Raises AccountError, which undoes the change, if users are left and none of them can manage."""
    left = list(session.scalars(select(UserRow)))
    if left and not any(row.role == "admin" and row.enabled and row.password for row in left):
        raise AccountError(
            "One user at least must be an admin who can sign in with a password. "
            "Make somebody else an admin first."
        )


def _wait(row: AttemptRow, now: datetime) -> timedelta:
    """How long the next try must wait; not longer either when the clock was set back."""
    over = row.failures - FREE_TRIES[row.key.split(":", 1)[0]]
    if over < 0:
        return timedelta()
    full = min(LONGEST_WAIT, timedelta(seconds=2 ** min(over, 16)))
    return min(full, max(timedelta(), row.last_at + full - now))


def _network(address: str) -> str:
    """An IPv4 address itself; of IPv6 the /64, since one person has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
