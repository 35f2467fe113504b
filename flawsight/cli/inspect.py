"""``python -m flawsight inspect``: images in, one JSON line each out."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
import numpy as np

from flawsight.atomic import replacing, write_bytes
from flawsight.data.samples import IMAGE_SUFFIXES
from flawsight.errors import FlawsightError, ImageError
from flawsight.imaging import encode_png, read_bytes
from flawsight.inspection.engines import cores, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import draw_boxes, draw_heatmap, encode_pictures
from flawsight.inspection.result import SCHEMA, Inspection
from flawsight.inspection.template import Template
from flawsight.settings import Settings, load_settings

Job = TypeVar("Job")
Result = TypeVar("Result")

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the JSON lines to FILE, whole or not at all, instead of standard output.",
)  # fmt: skip
@click.option(
    "--overlays", type=FOLDER, metavar="DIR", help="Write NAME.png: the part with heat map and boxes."
)
@click.option(
    "--heatmaps", type=FOLDER, metavar="DIR",
    help="Write NAME.npy: the heat map, float32 (H, W) in [0, 1], pixels of the image.",
)  # fmt: skip
@click.option("--pdf", type=FOLDER, metavar="DIR", help="Write NAME.pdf: the inspection report.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Model file, .onnx or .pth. [default: FLAWSIGHT_MODEL, or the model that comes with the program]",
)  # fmt: skip
@click.option(
    "--template", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Picture of a good part, such as a board's template: only what differs from it can be a defect.",
)  # fmt: skip
@click.option(
    "--accept-below", type=click.FloatRange(0, 1), metavar="P",
    help="Accept below this defect probability, instead of the model's own limit.",
)  # fmt: skip
@click.option(
    "--reject-from", type=click.FloatRange(0, 1), metavar="P",
    help="Reject from this defect probability, instead of the model's own limit; review in between.",
)  # fmt: skip
def inspect(
    paths: tuple[Path, ...],
    json_file: Path | None,
    overlays: Path | None,
    heatmaps: Path | None,
    pdf: Path | None,
    model: Path | None,
    template: Path | None,
    accept_below: float | None,
    reject_from: float | None,
) -> None:
    """Inspect image files; a folder stands for all images in it and below it.

    Each image gives one JSON object on a line of its own. A file that cannot be inspected gives a line
    with "error", and the rest goes on; the exit code is then 1.

    Files written with --overlays, --heatmaps and --pdf are called like their image; where two images
    share a name, the names of their folders are put before it. The line lists them under "files".
    """
    settings = load_settings(model=model)
    inspector = _moved(_load(settings), accept_below, reject_from)
    beside = _template(inspector, template) if template else None
    files = find_images(paths)
    folders = {"overlay": overlays, "heatmap": heatmaps, "report": pdf}
    wanted = {kind: folder for kind, folder in folders.items() if folder is not None}
    verdicts: Counter[str] = Counter()
    with _output(json_file) as lines:
        jobs = list(zip(files, output_names(files), strict=True))
        work = partial(_inspect_one, inspector, beside, wanted)
        for line in _progress(in_order(work, jobs, cores()), len(jobs), json_file):
            verdicts[line.get("verdict", "failed")] += 1
            lines.write(json.dumps(line, allow_nan=False) + "\n")
            lines.flush()
    click.echo(_summary(files, verdicts), err=True)
    if verdicts["failed"]:
        sys.exit(1)


def _summary(files: Sequence[Path], verdicts: Counter[str]) -> str:
    """How many images got which verdict; a path that leads to none is no image that failed."""
    empty = [path for path in files if path.is_dir()]
    missing = [path for path in files if not path.exists()]
    images = len(files) - len(empty) - len(missing)
    counts = verdicts - Counter(failed=len(empty) + len(missing))
    said = [f"The folder {path} holds no images." for path in empty]
    said += [f"{path} does not exist." for path in missing]
    if images:
        figures = ", ".join(f"{count} {what}" for what, count in counts.items())
        said.append(f"{images} image{'s' if images > 1 else ''}: {figures}")
    return "\n".join(said)


def _moved(inspector: Inspector, accept_below: float | None, reject_from: float | None) -> Inspector:
    """The inspector with other thresholds.

    Raises:
        click.UsageError: parts would be accepted and rejected at once.
    """
    own = inspector.metadata.decision
    accept = own.accept_below if accept_below is None else accept_below
    reject = own.reject_from if reject_from is None else reject_from
    if accept > reject:
        raise click.UsageError(
            f"Parts would be accepted below {accept} and rejected from {reject}: name an --accept-below "
            "that is not above --reject-from."
        )
    if (accept, reject) == (own.accept_below, own.reject_from):
        return inspector
    decision = replace(own, accept_below=accept, reject_from=reject)
    limits = {"max_bytes": inspector.max_bytes, "max_pixels": inspector.max_pixels}
    return Inspector(inspector.engine, decision, **limits)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """``paths`` with every folder replaced by the images in it and below, in order, none twice.

    Hidden files and folders are passed over. What is missing, or a folder without images, stays in the
    list, so that it gets its error line.
    """
    found: dict[Path, None] = {}
    for path in paths:
        for file in _images_below(path) if path.is_dir() else [path]:
            found[file] = None
    return list(found)


def output_names(files: Sequence[Path]) -> list[str]:
    """For each file a name, without suffix, that no other has: its own, or with folders before it.

    ``a/1.png, a/2.png, b/1.png`` become ``a__1, 2, b__1``; ``x.png, x.jpg`` become ``x.png, x.jpg``.
    """
    absolute = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - links keep their own names
    in_folder = Counter(path.with_suffix("") for path in absolute)
    parts = [
        (*path.parts[1:-1], path.name if in_folder[path.with_suffix("")] > 1 else path.stem)
        for path in absolute
    ]
    depth = [1] * len(parts)
    while True:
        names = ["__".join(own[-n:]) for own, n in zip(parts, depth, strict=True)]
        often = Counter(name.casefold() for name in names)
        growing = [
            i for i, name in enumerate(names) if often[name.casefold()] > 1 and depth[i] < len(parts[i])
        ]
        if not growing:
            return _numbered(names)
        for i in growing:
            depth[i] += 1


def _numbered(names: list[str]) -> list[str]:
    """``names`` with a number behind every repetition: ``X`` and ``x`` are one file on some disks."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name.casefold()] += 1
        count = seen[name.casefold()]
        result.append(name if count == 1 else f"{name}~{count}")
    return result


def _images_below(folder: Path) -> list[Path]:
    images = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return images or [folder]


def _load(settings: Settings) -> Inspector:
    return Inspector(
        load_engine(settings.model, threads=settings.threads or 1),  # pictures side by side: a thread each
        max_bytes=int(settings.max_upload_mb * 2**20),
        max_pixels=settings.max_pixels,
    )


def in_order(work: Callable[[Job], Result], jobs: Iterable[Job], at_once: int) -> Iterator[Result]:
    """``work`` of every job in the order of ``jobs``, ``at_once`` side by side, a few ahead."""
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for job in jobs:
            ahead.append(pool.submit(work, job))
            if len(ahead) > 4 * at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _template(inspector: Inspector, path: Path) -> Template:
    """The picture ``path``, which says its name if it cannot be used.

    Raises:
        ImageError: it cannot be read, or the model cannot compare.
    """
    try:
        return inspector.template(read_bytes(path, max_bytes=inspector.max_bytes), path.name)
    except ImageError as error:
        raise ImageError(f"--template {path}: {error}") from error


def _inspect_one(
    inspector: Inspector, template: Template | None, wanted: dict[str, Path], job: tuple[Path, str]
) -> dict[str, Any]:
    """The JSON line of one file; what else is wanted is written on the way."""
    path, name = job
    try:
        if path.is_dir():
            raise ImageError(f"There is no image in the folder {path} or below it. Check the path.")
        inspection = inspector.inspect_file(path, template)
        written = {
            kind: str(_WRITERS[kind](inspection, path, folder / name)) for kind, folder in wanted.items()
        }
        return {**inspection.to_dict(), **({"files": written} if written else {})}
    except FlawsightError as error:
        problem = {"code": error.code, "message": str(error)}
    except Exception as error:  # whatever one file does, the others get their turn
        problem = {"code": "error", "message": f"{type(error).__name__}: {error}"}
    return {"schema": SCHEMA, "image": {"name": path.name, "path": str(path)}, "error": problem}


def _write_overlay(inspection: Inspection, _: Path, target: Path) -> Path:
    overlay = draw_boxes(draw_heatmap(inspection), inspection.boxes, named=True)
    return _write(target, ".png", encode_png(overlay))


def _write_heatmap(inspection: Inspection, _: Path, target: Path) -> Path:
    buffer = BytesIO()
    np.save(buffer, inspection.heatmap.values)
    return _write(target, ".npy", buffer.getvalue())


def _write_report(inspection: Inspection, path: Path, target: Path) -> Path:
    from flawsight.records import Record  # here: a database and a PDF library that few calls need
    from flawsight.reporting.report import build_report

    record = Record.unfiled(inspection, path, encode_pictures(inspection))
    return _write(target, ".pdf", build_report(record))


def _write(target: Path, suffix: str, data: bytes) -> Path:
    path = target.with_name(target.name + suffix)  # a dot in the name is no suffix
    write_bytes(path, data)
    return path


_WRITERS = {"overlay": _write_overlay, "heatmap": _write_heatmap, "report": _write_report}


@contextmanager
def _output(json_file: Path | None) -> Iterator[TextIO]:
    if json_file is None:
        yield sys.stdout
        return
    try:
        with replacing(json_file) as temporary, temporary.open("w", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise FlawsightError(
            f"{json_file} cannot be written ({error.strerror}). Name a file where you may write."
        ) from error


def _progress(
    lines: Iterator[dict[str, Any]], total: int, json_file: Path | None
) -> Iterator[dict[str, Any]]:
    """``lines``, with a bar on the terminal unless the JSON lines already run over it."""
    busy = json_file is None and sys.stdout.isatty()
    if busy or not sys.stderr.isatty():
        yield from lines
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(lines, "Inspecting", total, console=Console(stderr=True))
