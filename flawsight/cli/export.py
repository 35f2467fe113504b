"""``python -m flawsight export``: other forms of a trained model, each checked against it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import onnx
from rich.console import Console
from rich.progress import track

from flawsight.atomic import replacing
from flawsight.cli.division import divide_again, preset_option
from flawsight.data.samples import Sample
from flawsight.errors import ModelError
from flawsight.inspection.engines import Engine, load_engine
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning.export import save_onnx
from flawsight.learning.parity import Parity, compare
from flawsight.learning.precision import calibration_samples, half, label, quantise, save_openvino
from flawsight.metadata import ModelMetadata

# Of the largest logit of standardised noise, where the precision stays the same: rounding grows with the
# numbers, and those of a network that has hardly been trained are in the hundreds.
TOLERANCE = 1e-4
_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("model", type=_file)
@click.option("--out", type=_file, help="Where to; .onnx, or .xml for OpenVINO. Default: beside MODEL.")
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True,
    help="Of the numbers inside: 32 bits, 16 bits (half the size), 8-bit integers (a third).",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), multiple=True,
    help="Data folder the model was trained from, to compare on; may be repeated. int8 needs it.",
)  # fmt: skip
@click.option(
    "--max-flips", type=click.IntRange(min=0), default=0, show_default=True,
    help="Keep the result if at most so many images of the test split get another verdict or class.",
)  # fmt: skip
@preset_option
def export(
    model: Path, out: Path | None, precision: str, data: tuple[Path, ...], max_flips: int, preset: str | None
) -> None:
    """Write MODEL (.pth or .onnx) in another form and certify that it answers like MODEL.

    The certificate is printed and stored in the file. With --data it is taken on the test split; without,
    on noise alone. A form that changes more answers than --max-flips allows is not kept.
    """
    target = out or model.with_suffix(".onnx" if precision == "fp32" else f".{precision}.onnx")
    _check(model, target, precision, data)
    reference = load_engine(model)
    train, test = _division(data, reference.metadata, preset) if data else ([], [])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        graph = _graph(model, reference, Path(folder), precision, train)
        trial = Path(folder) / f"trial{target.suffix.lower()}"
        _write(graph, trial, reference, reference.metadata, precision)
        shown = track(test, "Comparing", console=Console(stderr=True), transient=True)
        parity = compare(reference, load_engine(trial), shown if test else ())
        click.echo(_in_words(parity))
        _judge(parity, precision, max_flips)
        certificate = {"precision": precision, "from_sha256": reference.sha256, "parity": parity.to_dict()}
        metadata = replace(reference.metadata, export=certificate)
        _write(graph, target, reference, metadata, precision)
    written = {target, target.with_suffix(".bin")} if target.suffix.lower() == ".xml" else {target}
    size = sum(path.stat().st_size for path in written)
    click.echo(f"Written: {target} ({size / 2**20:.1f} MiB)")


def _check(model: Path, target: Path, precision: str, data: Sequence[Path]) -> None:
    if model.suffix.lower() == ".xml":
        raise ModelError(f"{model} is of OpenVINO; name the .pth or .onnx file that it was made from.")
    if target.suffix.lower() not in (".onnx", ".xml"):
        raise ModelError(f"--out {target} must end in .onnx, or in .xml for OpenVINO.")
    if model.suffix.lower() == ".onnx" and target.suffix.lower() == ".onnx" and precision == "fp32":
        raise ModelError(f"{model} is an ONNX model already; name the .pth file it was made from.")
    if precision == "int8" and not data:
        raise ModelError("8-bit numbers are fitted to training images; name their folder with --data.")


def _division(
    data: tuple[Path, ...], metadata: ModelMetadata, preset: str | None
) -> tuple[list[Sample], list[Sample]]:
    """The training and the test split, divided as for training."""
    manifest = divide_again(data, metadata, preset=preset)
    return manifest.split("train"), manifest.split("test")


def _graph(model: Path, reference: Engine, folder: Path, precision: str, train: list[Sample]) -> Path:
    """An ONNX file of that precision, as yet without certificate."""
    plain, graph = folder / "plain.onnx", folder / "graph.onnx"
    if isinstance(reference, TorchEngine):
        save_onnx(reference.network, reference.metadata, plain)
    else:
        shutil.copyfile(model, plain)
    if precision == "fp32":
        return plain
    if precision == "fp16":
        onnx.save(half(onnx.load(plain)), graph)
    else:
        few = calibration_samples(train, reference.metadata.seed)
        quantise(plain, graph, few, reference.metadata.preprocessing)
    return graph


def _write(graph: Path, target: Path, source: Engine, metadata: ModelMetadata, precision: str) -> None:
    """``graph`` with ``metadata`` and the head of ``source`` as ``target``, whole or not at all."""
    head = source.head.to_text()
    if target.suffix.lower() == ".xml":
        save_openvino(graph, target, metadata, head, compress=precision == "fp16")
        return
    with replacing(target) as temporary:
        shutil.copyfile(graph, temporary)
        label(temporary, metadata, head)


def _judge(parity: Parity, precision: str, max_flips: int) -> None:
    """Refuse what answers otherwise."""
    if parity.flips > max_flips:
        raise ModelError(
            f"{parity.flips} answers changed and {max_flips} may (--max-flips); the result is not kept."
        )
    if precision == "fp32" and parity.largest_logit_difference > TOLERANCE * max(1.0, parity.largest_logit):
        raise ModelError("The exported model answers otherwise; it is not kept.")


def _in_words(parity: Parity) -> str:
    lines = [
        f"Largest difference of logits on noise: {parity.largest_logit_difference:.2g} "
        f"(largest logit {parity.largest_logit:.2g})"
    ]
    if parity.images:
        lines += [
            f"Compared on {parity.images} images of the test split:",
            f"  largest difference of a probability: {parity.largest_probability_difference:.2g}",
            f"  other verdict or class: {parity.flips}" + "".join(f"\n    {name}" for name in parity.flipped),
            f"  peak of the heat map moved by {parity.mean_peak_shift:.2%} of the diagonal on average, "
            f"{parity.largest_peak_shift:.2%} at most",
            f"  overlap of the boxed areas: {parity.mean_box_iou:.1%} on average",
        ]
    return "\n".join(lines)
