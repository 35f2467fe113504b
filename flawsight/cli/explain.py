"""``python -m flawsight explain``: heat maps of any class by the methods of the grad-cam package."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flawsight.atomic import write_bytes
from flawsight.errors import ModelError
from flawsight.imaging import encode_png, read_image
from flawsight.inspection.engines import load_engine, network_of
from flawsight.inspection.explain import GRAD_CAM_METHODS
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import blend_heat, encode_layer
from flawsight.settings import load_settings

TORCH_MODEL = ".pth"


@click.command()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--class", "class_id", metavar="CLASS", help="Class to explain. [default: the likeliest defect]"
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(list(GRAD_CAM_METHODS)),
    help="Method; may be given several times. [default: all]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
    help="Folder for the pictures. [default: this one]",
)  # fmt: skip
@click.option("--layers", is_flag=True, help="Write transparent layers instead of pictures of the part.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Model file, .pth. [default: the .pth beside FLAWSIGHT_MODEL]",
)  # fmt: skip
def explain(
    image: Path, class_id: str | None, methods: tuple[str, ...], out: Path, layers: bool, model: Path | None
) -> None:
    """Say why: heat maps of IMAGE for one class by Grad-CAM, Grad-CAM++, LayerCAM, Eigen-CAM, Score-CAM.

    Each map is written as NAME-CLASS-METHOD.png and gives one JSON object on a line of its own, with the
    milliseconds it took. The class need not be the answer: ask why it is not a crack. "network" is the same
    for all files of one network, .pth or .onnx.
    """
    settings = load_settings(model=model)
    pixels = read_image(image, max_bytes=int(settings.max_upload_mb * 2**20), max_pixels=settings.max_pixels)
    engine = load_engine(settings.model.with_suffix(TORCH_MODEL), threads=settings.threads)
    from flawsight.inspection.torch_engine import TorchEngine  # here: torch takes seconds to load
    from flawsight.learning.cams import second_explanations

    assert isinstance(engine, TorchEngine)
    classes = engine.metadata.classes
    class_id = class_id or Inspector(engine).inspect(pixels, name=image.name).heatmap.class_id
    if class_id not in classes:
        raise ModelError(
            "The model knows no class %(name)s. It knows: %(classes)s.",
            name=class_id,
            classes=", ".join(classes),
        )
    wanted, network = methods or tuple(GRAD_CAM_METHODS), network_of(engine)
    for heatmap, took_ms in second_explanations(engine, pixels, class_id, wanted):
        path = out / f"{image.stem}-{class_id}-{heatmap.method}.png"
        write_bytes(path, encode_layer(heatmap) if layers else encode_png(blend_heat(pixels, heatmap)))
        line = {
            **heatmap.to_dict(),
            "took_ms": round(took_ms, 1),
            "file": str(path),
            "network": network,
        }
        click.echo(json.dumps(line))
