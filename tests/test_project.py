"""What the project says about itself is true: versions, commands, settings, requirements, arrows."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import flawsight
from flawsight.cli import main
from flawsight.settings import PROJECT_ROOT, Settings

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str = "requirements.txt") -> set[str]:
    lines = (PROJECT_ROOT / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"[A-Za-z][\w.-]*", line) for line in lines)
    return {normal(match[0]) for match in found if match}


def imported_packages() -> set[str]:
    """Top-level names that the program itself imports, also inside functions."""
    names: set[str] = set()
    files = [*(PROJECT_ROOT / "flawsight").rglob("*.py"), *PROJECT_ROOT.glob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"flawsight"}


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None
        yield f"{name} {verb}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {verb}")


# Extras of pyproject.toml: imported only when asked for, with a message that says how to install them.
OPTIONAL = {"openvino"}


def test_every_import_is_a_declared_requirement() -> None:
    distributions = importlib.metadata.packages_distributions()
    # Parts of a declared package that it is documented to be used through.
    parts = {"pydantic": "pydantic-settings", "werkzeug": "flask"}
    for name in sorted(imported_packages()):
        packages = {normal(package) for package in distributions.get(name, [name])}
        packages.add(parts.get(name, name))
        assert packages & (requirements() | OPTIONAL), f"{name} is imported but not in requirements.txt"


@pytest.mark.parametrize("name", sorted(requirements() | requirements("requirements-dev.txt")))
def test_every_requirement_is_explained_in_the_readme(name: str) -> None:
    explained = README.split("## What it is built on")[1].split("## More")[0]
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", explained), name


def test_requirements_are_floors_that_name_no_machine() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (PROJECT_ROOT / name).read_text(encoding="utf-8").splitlines():
            assert re.fullmatch(r"(#.*|-r requirements\.txt|[\w.-]+>=[\d.]+)?", line), line


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_in_the_readme_with_its_default(field: str) -> None:
    [row] = re.findall(rf"^\| `FLAWSIGHT_{field.upper()}` \| (.+?) \|", README, re.MULTILINE)
    default = Settings.model_fields[field].default
    if isinstance(default, Path):
        assert default == PROJECT_ROOT / row.strip("`")
    elif default is not None:
        assert row == f"`{default}`"


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    named = {name.lower() for name in re.findall(r"FLAWSIGHT_([A-Z_]+[A-Z])", README)}
    assert named <= set(Settings.model_fields)


def test_every_command_helps_and_is_in_the_readme() -> None:
    for name, command in commands(main, "python -m flawsight"):
        arguments = name.split()[3:]
        result = CliRunner().invoke(main, [*arguments, "--help"])
        assert result.exit_code == 0, f"{name}: {result.output}"
        assert (command.help or "").strip(), f"{name} has no help"
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts[0]} has no help"
        assert name in README, f"{name} is not in the README"


def test_the_make_targets_of_the_readme_exist() -> None:
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_local_links_lead_somewhere(document: str) -> None:
    text = (PROJECT_ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (PROJECT_ROOT / target).exists(), target


def test_files_named_in_contributing_exist() -> None:
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"`(flawsight/[\w/]+\.\w+)`", text):
        assert (PROJECT_ROOT / target).is_file(), target


def test_continuous_integration_runs_what_the_readme_says() -> None:
    script = PROJECT_ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text and "make test" in text
    assert os.access(script, os.X_OK)


def test_make_test_runs_every_check() -> None:
    plan = subprocess.run(
        ["make", "--dry-run", "test"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout
    for check in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert check in plan


def test_python_floor_is_the_same_everywhere() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == "3.11"
    assert "(3, 11)" in MAKEFILE and "Python 3.11 or newer" in README


def test_the_version_is_in_the_changelog() -> None:
    changelog = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{flawsight.__version__}]" in changelog
    assert CliRunner().invoke(main, ["--version"]).output.strip().endswith(flawsight.__version__)


@pytest.mark.parametrize(
    "module", ["flawsight.web", "flawsight.cli", "flawsight.cli.inspect", "flawsight.reporting"]
)
def test_serving_loads_no_training_machinery(module: str) -> None:
    heavy = ("torch", "lightning", "sklearn", "matplotlib", "flawsight.learning")
    code = f"import sys, {module}; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_unknown_command_is_refused_with_a_message() -> None:
    result = CliRunner().invoke(main, ["inspekt"])
    assert result.exit_code == 2 and "inspekt" in result.output
