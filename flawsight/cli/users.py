"""``python -m flawsight users``: who may sign in, and the tokens of programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from flawsight.records.accounts import ROLES, Accounts
from flawsight.records.store import Store
from flawsight.settings import load_settings

instance_option = click.option(
    "--instance",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the server's database, as FLAWSIGHT_INSTANCE.",
)
stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of standard input."
)


def in_instance(command: Callable[..., None], *, make: bool = False) -> Callable[..., None]:
    """Adds ``--instance`` to ``command`` and hands it the accounts found there, first.

    ``make``: also where no server has been yet.
    """

    @instance_option
    def opened(instance: Path | None, **arguments: Any) -> None:
        store = Store(load_settings(instance=instance).instance, make=make)
        try:
            command(Accounts(store), **arguments)
        finally:
            store.close()

    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    whole: Any = opened  # click keeps the options of a function in an attribute
    whole.__click_params__ = [*getattr(command, "__click_params__", []), *whole.__click_params__]
    return opened


@click.group()
def users() -> None:
    """Say who may sign in, and make tokens for programs.

    As soon as there is a user, everybody has to sign in. A running server takes part at once.
    """


@users.command("list")
@in_instance
def list_users(accounts: Accounts) -> None:
    """List users with their role and tokens."""
    table = Table("name", "role", "state", "signs in with", "tokens (id: used by, last used)", box=None)
    for user in accounts.users():
        tokens = [
            f"{token.id}: {token.title}, {token.used_at.date() if token.used_at else 'never'}"
            for token in accounts.tokens(user.id)
        ]
        state = "may sign in" if user.enabled else "shut out"
        table.add_row(
            user.name, user.role, state, "a password" if user.has_password else "tokens", "\n".join(tokens)
        )
    if not table.row_count:
        click.echo("There are no users. Add the first: python -m flawsight users add NAME")
        return
    Console(markup=False, width=None if sys.stdout.isatty() else 120).print(table)


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), help="What they may do; the first user is an admin.")
@click.option("--no-password", is_flag=True, help="A program that uses tokens only.")
@stdin_option
@partial(in_instance, make=True)
def add(accounts: Accounts, name: str, role: str | None, no_password: bool, password_stdin: bool) -> None:
    """Add the user NAME and ask for a password."""
    role = role or ("operator" if accounts.any() else "admin")
    user = accounts.add(name, role, None if no_password else ask_password(password_stdin))
    click.echo(f"Added {user.name}, {user.role}.")


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), help="Another role.")
@click.option("--disable/--enable", default=None, help="Shut them out, or let them in again.")
@in_instance
def change(accounts: Accounts, name: str, role: str | None, disable: bool | None) -> None:
    """Change the role of NAME, or shut them out."""
    if role is None and disable is None:
        raise click.UsageError("Say what to change: --role, --disable or --enable.")
    user = accounts.change(name, role, None if disable is None else not disable)
    click.echo(f"{user.name} is {user.role} and {'may sign in' if user.enabled else 'shut out'}.")


@users.command()
@click.argument("name")
@in_instance
def remove(accounts: Accounts, name: str) -> None:
    """Remove NAME with their tokens and sessions; inspections stay."""
    accounts.remove(name)
    click.echo(f"Removed {name}.")


@users.command()
@click.argument("name")
@stdin_option
@in_instance
def password(accounts: Accounts, name: str, password_stdin: bool) -> None:
    """Give NAME a new password; it ends their sessions."""
    accounts.get(name)  # before asking
    accounts.set_password(name, ask_password(password_stdin))
    click.echo(f"{name} has a new password.")


@users.command()
@click.argument("name")
@click.option("--title", help="What will use the token, e.g. 'camera of line 3'.")
@click.option("--remove", "unwanted", type=int, metavar="ID", help="End the token of this id instead.")
@in_instance
def token(accounts: Accounts, name: str, title: str | None, unwanted: int | None) -> None:
    """Make an API token that acts for NAME, and show it once."""
    if unwanted is not None:
        accounts.remove_token(name, unwanted)
        click.echo(f"Token {unwanted} of {name} no longer works.")
        return
    if title is None:
        raise click.UsageError("Say what will use it: --title 'camera of line 3'.")
    made = accounts.add_token(name, title)
    click.echo("The token, shown this once; send it as the header 'Authorization: Bearer TOKEN':", err=True)
    click.echo(made)


def ask_password(from_stdin: bool) -> str:
    """A new password, from the keyboard (twice, unseen) or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
