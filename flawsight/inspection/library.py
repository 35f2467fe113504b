"""The installed models: the shipped file and a folder of others, each with what was measured of it.

best_model_unified.onnx          the shipped one; beside it results_unified.json and charts/
models/
├── casting-1-3f2a91bc.onnx      an installed one
├── casting-1-3f2a91bc.json      its results, if any
└── casting-1-3f2a91bc-charts/   its charts, if any
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flawsight.atomic import write_bytes
from flawsight.errors import FlawsightError, ModelError, NotFound
from flawsight.imaging import sha256
from flawsight.inspection.engines import Engine, load_engine
from flawsight.metadata import ONNX_KEY, ModelMetadata
from flawsight.taxonomy import learn

CHECK_S = 120.0  # seconds that a new file may take to load and to answer one picture
SUFFIX = ".onnx"
SHORT = 8  # digits of a hash that are shown
CHARTS = {".png", ".svg"}
SHIPPED_RESULTS, SHIPPED_CHARTS = "results_unified.json", "charts"
MAX_RESULTS = 32 * 2**20  # bytes of a results file
RESULTS_SCHEMA = "flawsight.results/1"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


class BadModel(FlawsightError):
    """A file that is no model this program can use; the message says why."""

    code = "bad_model_file"
    status = 400


@dataclass(frozen=True)
class InstalledModel:
    """One model on disk. Its content is read when it is asked for, and again when the file has changed.

    Attributes:
        key: its name in addresses and records: the file's name without the ending.
        changed: time of the last change, nanoseconds; 0 if there is no file.
        size: in bytes.
        loaded: the engine, where it was not loaded from the file.
    """

    key: str
    path: Path
    shipped: bool
    changed: int = 0
    size: int = 0
    loaded: Engine | None = None

    @property
    def metadata(self) -> ModelMetadata | None:
        """What the file says about itself; ``None`` if it cannot be used."""
        return self.loaded.metadata if self.loaded else self._content()[1]

    @property
    def sha256(self) -> str:
        """Of the file's bytes; empty if there is none."""
        return self.loaded.sha256 if self.loaded else self._content()[0]

    @property
    def problem(self) -> str:
        """Why it cannot be used; empty if it can."""
        return "" if self.loaded else self._content()[2]

    @property
    def title(self) -> str:
        return f"{self.metadata.name} {self.metadata.version}" if self.metadata else self.key

    @property
    def short_hash(self) -> str:
        """What tells two files of one name and version apart."""
        return self.sha256[:SHORT]

    @property
    def label(self) -> str:
        """Title and short hash."""
        return f"{self.title} ({self.short_hash})" if self.sha256 else self.title

    @property
    def product(self) -> str:
        """What it knows, for people."""
        return str(self.metadata.product.get("title") or self.title) if self.metadata else self.key

    def _content(self) -> tuple[str, ModelMetadata | None, str]:
        return _read(self.path, self.changed, self.size)


class Library:
    """The shipped model and those in ``folder``. Looks at the disk every time, so that workers agree.

    Args:
        shipped: the model file of the settings; listed even while it is missing.
        folder: of the others; made when the first is installed.
        loaded: the shipped model's engine, where it is not loaded from the file.
    """

    def __init__(self, shipped: Path, folder: Path, loaded: Engine | None = None) -> None:
        self.shipped = shipped
        self.folder = folder
        self._loaded = loaded

    def models(self) -> list[InstalledModel]:
        """The shipped one, then the others by name."""
        files = sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []
        others = [
            look(path) for path in files if _KEY.fullmatch(path.stem) and path.stem != self.shipped.stem
        ]
        return [self.shipped_model(), *others]

    def shipped_model(self) -> InstalledModel:
        """The one of the settings, whether or not its file is there."""
        return look(self.shipped, shipped=True, loaded=self._loaded)

    def get(self, key: str) -> InstalledModel:
        """The model ``key``: looked up in the listing, so no path from outside is ever opened.

        Raises:
            NotFound: there is none.
        """
        for model in self.models():
            if model.key == key:
                return model
        raise NotFound("There is no such model. The Models page lists those that are installed.")

    def results(self, model: InstalledModel) -> dict[str, Any]:
        """What was measured of it; empty if nothing readable is there."""
        path = self._results(model)
        return _results(path, path.stat().st_mtime_ns) if path.is_file() else {}

    def charts(self, model: InstalledModel) -> dict[str, Path]:
        """Its charts by file name."""
        folder = self._charts(model)
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return {path.name: path for path in files if path.suffix in CHARTS and path.is_file()}

    def install(self, file: Path, called: str, results: bytes = b"") -> InstalledModel:
        """Check ``file`` and copy it into the folder.

        Args:
            called: what the sender calls the file, for messages.
            results: the content of its results file, if there is one.

        Raises:
            BadModel: it cannot be used; the message says why.
        """
        metadata = check_file(file, called)
        if results:
            _check_results(results, metadata)
        digest = sha256(file.read_bytes())
        for known in self.models():
            if known.sha256 == digest:
                raise BadModel("%(called)s is installed already, as %(key)s.", called=called, key=known.key)
        name = re.sub(r"[^A-Za-z0-9._]+", "-", f"{metadata.name}-{metadata.version}").strip("-.")[:80]
        target = self.folder / f"{name or 'model'}-{digest[:SHORT]}{SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if results:  # first, so that the model never stands there without them
                write_bytes(target.with_suffix(".json"), results)
            write_bytes(target, file.read_bytes())
        except OSError as error:
            raise ModelError(
                "The models folder %(folder)s cannot be written to (%(reason)s). "
                "Give this user write access, or set FLAWSIGHT_MODELS.",
                folder=self.folder,
                reason=error.strerror,
            ) from error
        return look(target)

    def remove(self, model: InstalledModel) -> None:
        """Delete the file with its results and charts.

        Raises:
            BadModel: it is the shipped one.
        """
        if model.shipped:
            raise BadModel("The shipped model stays. Switch to another one instead.")
        model.path.unlink(missing_ok=True)
        self._results(model).unlink(missing_ok=True)
        shutil.rmtree(self._charts(model), ignore_errors=True)

    def _results(self, model: InstalledModel) -> Path:
        return model.path.with_name(SHIPPED_RESULTS) if model.shipped else model.path.with_suffix(".json")

    def _charts(self, model: InstalledModel) -> Path:
        return model.path.with_name(SHIPPED_CHARTS if model.shipped else f"{model.key}-charts")


def check_file(file: Path, called: str) -> ModelMetadata:
    """What the ONNX file says about itself, after it has loaded and answered one picture.

    That happens in a process of its own: a file made to harm, or one that needs all memory, cannot
    take the server with it.

    Raises:
        BadModel: it cannot be used; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="flawsight-") as folder:  # nothing beside it that it could name
        alone = Path(folder) / f"model{SUFFIX}"
        try:
            os.link(file, alone)
        except OSError:  # another disk
            shutil.copyfile(file, alone)
        try:
            found = subprocess.run(
                [sys.executable, "-m", "flawsight.inspection.probe", str(alone)],
                capture_output=True,
                text=True,
                timeout=CHECK_S,
                cwd=Path(__file__).resolve().parents[2],
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BadModel(
                "%(called)s did not answer one picture within %(seconds)s s. Use a smaller model.",
                called=called,
                seconds=round(CHECK_S),
            ) from None
        try:
            said = json.loads(found.stdout)
        except ValueError:
            raise BadModel(
                "%(called)s ended the process that tried it (code %(code)s): it is damaged, or "
                "needs more memory than it may have. Export it again, or use a smaller model.",
                called=called,
                code=found.returncode,
            ) from None
        if "problem" in said:
            raise BadModel(
                "%(called)s cannot be used. %(reason)s",
                called=called,
                reason=said["problem"].replace(str(alone), called),
            )
    return ModelMetadata.from_json(json.dumps(said["metadata"]), called)


def look(
    path: Path, shipped: bool = False, loaded: Engine | None = None, key: str | None = None
) -> InstalledModel:
    """The model file ``path``, whether or not it is there."""
    state = path.stat() if path.is_file() else None
    changed, size = (state.st_mtime_ns, state.st_size) if state else (0, 0)
    return InstalledModel(key or path.stem, path, shipped, changed, size, loaded)


@lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> tuple[str, ModelMetadata | None, str]:
    """Hash, metadata and problem; ``changed`` and ``size`` tell one state of the file from another."""
    if not changed:
        return "", None, f"There is no model at {path}. Make one with `python training.py`."
    try:
        digest = sha256(path.read_bytes())
    except OSError as error:
        return "", None, f"The model {path} cannot be read ({error.strerror}). Check the file's permissions."
    try:
        metadata = read_metadata(path)
        learn(metadata.product, metadata.name)
        return digest, metadata, ""
    except ValueError as error:
        return digest, None, f"Its texts cannot be used: {error}"
    except ModelError as error:
        return digest, None, str(error).replace(str(path), path.name)


def read_metadata(path: Path) -> ModelMetadata:
    """The metadata block of a model file, without making it ready to run where that can be avoided.

    Raises:
        ModelError: it is damaged, foreign, or of a newer format.
    """
    if path.suffix.lower() != SUFFIX:
        return load_engine(path).metadata
    import onnx

    try:
        model: Any = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # the parser raises its own unrelated types
        raise ModelError(
            "%(path)s is no readable ONNX model (%(reason)s). Copy it again.", path=path, reason=error
        ) from error
    properties = {entry.key: entry.value for entry in model.metadata_props}
    return ModelMetadata.from_json(properties.get(ONNX_KEY, "{}"), str(path))


@lru_cache(maxsize=32)
def _results(path: Path, changed: int) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_RESULTS:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _check_results(content: bytes, metadata: ModelMetadata) -> None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise BadModel("The results file is no JSON. Send the one that the training left.") from None
    if not isinstance(value, dict) or value.get("schema") != RESULTS_SCHEMA:
        raise BadModel(
            "The results file is not %(schema)s. Send the one that the training left.", schema=RESULTS_SCHEMA
        )
    if value.get("classes") != list(metadata.classes):
        raise BadModel("The results file is of another model: its classes differ. Send the one of this.")
