"""What runs a network: one interface, ONNX Runtime by default, torch on request."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError
from flawsight.imaging import sha256
from flawsight.metadata import ONNX_KEY, ModelMetadata

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # of ONNX Runtime, the first that is there
HEAD_KEY = f"{ONNX_KEY}.head"  # ONNX metadata property that holds the head's numbers
ROOMY = 3 * 640 * 640  # values of an input above which the memory of one pass is given back at once
SPIN_US = 20  # microseconds that a waiting thread stays awake
LEAK = 0.01  # slope of the leaky ReLU between the layers of a head, below zero
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """The last ``Linear``: float32 ``weight`` (K, C) and ``bias`` (K,) for K classes, C channels.

    A head of two layers has ``hidden``, weight (H, C) and bias (H,) of the first, with a leaky ReLU of
    slope ``LEAK`` behind it; ``weight`` is then (K, H).
    """

    weight: Float
    bias: Float
    hidden: tuple[Float, Float] | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"Head needs weight (K, C) and bias (K,), got {self.weight.shape} and {self.bias.shape}"
            )

    @property
    def channels(self) -> int:
        """Of the features that it reads."""
        return int((self.hidden[0] if self.hidden else self.weight).shape[1])

    def at(self, features: Float) -> Head:
        """The one linear layer that this head amounts to for the picture with ``features`` (C, h, w).

        A leaky ReLU is linear on either side of zero, so logits and their gradient are those of the head
        itself: the class activation map of the result is Grad-CAM of the two layers.
        """
        if self.hidden is None:
            return self
        weight, bias = self.hidden
        slopes = np.where(weight @ features.mean(axis=(1, 2)) + bias > 0, np.float32(1), np.float32(LEAK))
        return Head(self.weight * slopes @ weight, self.weight * slopes @ bias + self.bias)

    def class_map(self, features: Float) -> Float:
        """Logits of every cell, (K, h, w), from features (C, h, w): ``W · A + b``.

        Their mean over the cells is exactly the network's logits.
        """
        head = self.at(features)
        scores = head.weight @ features.reshape(len(features), -1)
        scores += head.bias[:, None]
        return np.asarray(scores, np.float32).reshape(-1, *features.shape[1:])

    def to_text(self) -> str:
        """Base64 of little-endian float32: weight row by row, then bias (K*C + K numbers).

        Two layers: ``"C,H:"`` before it, and the first layer's numbers before the last's.
        """
        layers = [*(self.hidden or ()), self.weight, self.bias]
        numbers = np.concatenate([layer.ravel() for layer in layers]).astype("<f4")
        shape = f"{self.channels},{self.weight.shape[1]}:" if self.hidden else ""
        return shape + base64.b64encode(numbers.tobytes()).decode("ascii")

    @classmethod
    def from_text(cls, text: str, classes: int) -> Head:
        """Inverse of :meth:`to_text` for ``classes`` = K.

        Raises:
            ValueError: not base64, or not K*C + K numbers for any C >= 1.
        """
        shape, _, text = text.rpartition(":")
        try:
            numbers = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
        except binascii.Error as error:
            raise ValueError(f"the head is not base64: {error}") from error
        hidden = None
        if shape:
            channels, units = (int(part) for part in shape.split(","))
            if numbers.size != units * (channels + 1) + classes * (units + 1):
                raise ValueError(f"the head has {numbers.size} numbers, which do not fit {classes} classes")
            first, numbers = np.split(numbers, [units * (channels + 1)])
            hidden = first[:-units].reshape(units, channels), first[-units:]
        if numbers.size < 2 * classes or numbers.size % classes:
            raise ValueError(f"the head has {numbers.size} numbers, which do not fit {classes} classes")
        return cls(numbers[:-classes].reshape(classes, -1), numbers[-classes:], hidden)


class Outputs(NamedTuple):
    """What a network says of a batch of N pictures.

    Attributes:
        logits: (N, K), the mean of ``class_map`` over the cells.
        features: (N, C, h, w), the last feature map.
        class_map: (N, K, h, w), the logits of every cell.
    """

    logits: Float
    features: Float
    class_map: Float

    @classmethod
    def of(cls, logits: Float, features: Float, head: Head) -> Outputs:
        """With the class map that the ``head`` makes of the features."""
        return cls(logits, features, np.stack([head.class_map(one) for one in features]))

    @property
    def first(self) -> Outputs:
        """Of the first picture, without the axis N."""
        return Outputs(*(values[0] for values in self))


class Engine(Protocol):
    """A loaded model.

    ``sha256`` is of the model file's bytes. ``run`` may be called from several threads at once.
    """

    @property
    def name(self) -> str: ...
    @property
    def metadata(self) -> ModelMetadata: ...
    @property
    def head(self) -> Head: ...
    @property
    def sha256(self) -> str: ...

    def run(self, batch: Float) -> Outputs:
        """Of float32 (N, 3, H, W); a cell covers ``metadata.stride`` pixels each way."""
        ...


class OnnxEngine:
    """ONNX Runtime: on a CUDA device where the installed runtime finds one, otherwise on the CPU."""

    name = "onnxruntime"

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.sha256 = sha256(_read(path))
        self._session = _open_session(path, threads)
        self._frugal = _run_options({"memory.enable_memory_arena_shrinkage": "cpu:0"})
        properties = _properties(path, self._session)
        self.metadata = ModelMetadata.from_json(properties.get(ONNX_KEY, "{}"), str(path))
        try:
            self.head = Head.from_text(properties.get(HEAD_KEY, ""), len(self.metadata.classes))
        except ValueError as error:
            raise ModelError(
                "%(path)s cannot explain its answers: %(error)s. Export it again.", path=path, error=error
            ) from error
        found = {output.name: output.shape[1:2] for output in self._session.get_outputs()}
        if not {"logits", "features"} <= found.keys():
            raise ModelError(
                "%(path)s has outputs %(outputs)s, expected 'logits' and 'features'. Export it again.",
                path=path,
                outputs=sorted(found),
            )
        sizes = {"logits": len(self.head.bias), "features": self.head.channels}
        if "class_map" in found:  # files of before leave it to the head
            sizes["class_map"] = len(self.head.bias)
        self._outputs = list(sizes)
        for output, channels in sizes.items():
            if isinstance(found[output][0], int) and found[output][0] != channels:
                raise ModelError(
                    "%(path)s does not fit together: %(output)s has %(found)s channels, its description "
                    "%(channels)s. Export it again.",
                    path=path,
                    output=output,
                    found=found[output][0],
                    channels=channels,
                )

    def run(self, batch: Float) -> Outputs:
        options = self._frugal if batch.size > ROOMY else None
        try:
            logits, features, *rest = self._session.run(self._outputs, {"image": batch}, options)
        except Exception as error:  # the runtime raises its own unrelated types
            raise ModelError(
                "The model %(name)s could not be run (%(error)s). Copy its file again, or export it again.",
                name=self.metadata.name,
                error=error,
            ) from error
        return Outputs(logits, features, *rest) if rest else Outputs.of(logits, features, self.head)


def load_engine(path: str | Path, threads: int = 0) -> Engine:
    """The engine for a model file: ``.onnx`` runs on ONNX Runtime, ``.xml`` on OpenVINO, ``.pth`` on torch.

    ``threads`` of one forward pass; 0 means one per core.

    Raises:
        ModelError: the file is missing, damaged, foreign, or of a newer format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return OnnxEngine(path, threads)
    if suffix in (".pth", ".pt"):
        from flawsight.inspection.torch_engine import TorchEngine

        return TorchEngine(path, _read(path), threads)
    if suffix == ".xml":
        from flawsight.inspection.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(path, threads)
    raise ModelError("%(path)s is not a model file: its name must end in .onnx, .xml or .pth.", path=path)


def network_of(engine: Engine) -> str:
    """What the files of one network share, in every form and precision, and no other network has.

    SHA-256 of the head's numbers, which each file keeps to the last bit, and of when and on what the network
    was made: one that was pruned, for instance, has the head of the one it was made from.
    """
    made = engine.metadata
    said = (engine.head.to_text(), made.backbone, made.version, made.created, made.manifest_sha256)
    return sha256("\n".join(said).encode())


def cores() -> int:
    """Processor cores that this process may use: so many inspections are worth running side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            "There is no model at %(path)s. Make one with `python training.py`, or name another "
            "file with FLAWSIGHT_MODEL or --model.",
            path=path,
        ) from None
    except OSError as error:
        raise ModelError(
            "The model %(path)s cannot be read (%(strerror)s). Check the path.",
            path=path,
            strerror=error.strerror,
        ) from error


def _properties(path: Path, session: Any) -> dict[str, str]:
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise ModelError(
            "%(path)s is damaged (%(error)s). Copy it again, or run `python training.py`.",
            path=path,
            error=error,
        ) from error


def _run_options(entries: dict[str, str]) -> onnxruntime.RunOptions:
    import onnxruntime

    options: Any = onnxruntime.RunOptions()
    for key, value in entries.items():
        options.add_run_config_entry(key, value)
    return options


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin long while they wait take the cores from the picture that is being decoded or drawn;
    # threads that sleep are late for the next of a pass's many small steps. This bridges the gap between two.
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    options.log_severity_level = 3  # errors only; they are raised anyway
    options.enable_mem_pattern = (
        False  # pictures have many sizes, and a memory plan for each is kept for good
    )
    available = onnxruntime.get_available_providers()
    providers = [name for name in PROVIDERS if name in available]
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime raises its own unrelated types
        raise ModelError(
            "%(path)s is no readable ONNX model (%(error)s). Copy it again, or run `python training.py`.",
            path=path,
            error=error,
        ) from error
    return session
