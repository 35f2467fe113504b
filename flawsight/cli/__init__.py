"""``python -m flawsight COMMAND``: one command a verb, loaded only when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from flawsight import __version__
from flawsight.errors import FlawsightError

# name: (module:attribute, one line for --help). The line stands here so that --help imports nothing heavy.
COMMANDS = {
    "inspect": ("flawsight.cli.inspect:inspect", "Inspect images: one JSON line each, pictures and PDFs."),
    "explain": ("flawsight.cli.explain:explain", "Say why: heat maps of any class by other methods."),
    "watch": ("flawsight.cli.watch:watch", "Inspect what arrives in a folder, and file it."),
    "serve": ("flawsight.web.serve:serve", "Start the web app."),
    "users": ("flawsight.cli.users:users", "Say who may sign in, and make tokens for programs."),
    "verify": ("flawsight.cli.verify:verify", "Find what was altered in the history since it was filed."),
    "data": ("flawsight.cli.data:data", "Audit, split and generate datasets."),
    "train": ("flawsight.cli.train:train", "Train a model."),
    "new-preset": ("flawsight.cli.new_preset:new_preset", "Write a preset for your own pictures."),
    "compare": ("flawsight.cli.lab:compare", "Train several backbones and compare them."),
    "ablate": ("flawsight.cli.lab:ablate", "Change one thing of a preset at a time."),
    "sweep": ("flawsight.cli.lab:sweep", "Accuracy, recall, F1 and cost by threshold."),
    "show": ("flawsight.cli.show:show", "Draw random pictures with a model's answers."),
    "evaluate": ("flawsight.cli.evaluate:evaluate", "Measure a model on the test split of a manifest."),
    "benchmark": ("flawsight.cli.benchmark:benchmark", "Measure the published figures again."),
    "card": ("flawsight.cli.card:card", "Write the model card with a run's figures."),
    "export": ("flawsight.cli.export:export", "Write the ONNX twin of a trained model."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use and whose errors are messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FlawsightError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flawsight")
def main() -> None:
    """Look at photos of parts: good or defective, what is wrong, where, and how sure."""


def run_command(name: str, script: str) -> None:
    """Run one command as a script of its own, e.g. ``train`` as ``training.py``."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    try:
        command.main(prog_name=script)
    except FlawsightError as error:
        raise SystemExit(f"Error: {error}") from None
