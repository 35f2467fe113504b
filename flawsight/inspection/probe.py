"""``python -m flawsight.inspection.probe FILE``: try a model file in a process of its own.

Prints ``{"metadata": ...}`` or ``{"problem": "..."}`` as one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from flawsight.errors import FlawsightError, ModelError
from flawsight.inspection.engines import OnnxEngine
from flawsight.inspection.inspector import Inspector
from flawsight.metadata import ModelMetadata

MEMORY = 6 * 2**30  # bytes of address space
SIDE = 192  # pixels of the picture that is tried


def probe(path: Path) -> ModelMetadata:
    """The metadata of ``path``, which loads and gives a finite answer.

    Raises:
        FlawsightError: it does not; the message says why.
    """
    _refuse_outside_data(path)
    inspector = Inspector(OnnxEngine(path, threads=1))
    _check(inspector.metadata)
    try:
        inspector.inspect(_picture(), name="a trial picture")
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise ModelError(f"Its description does not fit the network ({error}). Export it again.") from error
    return inspector.metadata


def _picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    grey = np.random.default_rng(0).normal(150, 20, (SIDE, SIDE, 1))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8), 3, axis=2)


def _refuse_outside_data(path: Path) -> None:
    import onnx

    try:
        model: Any = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # the parser raises its own unrelated types
        raise ModelError(
            f"It is no readable ONNX model ({error}): the file is damaged or was cut off. Copy it again."
        ) from error
    nodes = [node for function in model.functions for node in function.node]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph, nodes)):
        raise ModelError("Its numbers lie in another file. Export it as one file.")


def _tensors(graph: Any, nodes: Iterable[Any] = ()) -> Iterator[Any]:
    """Every constant of ``graph`` and ``nodes``, wherever it may stand."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (one for node in (*graph.node, *nodes) for one in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for inner in (attribute.g, *attribute.graphs):
            if inner.node or inner.initializer:
                yield from _tensors(inner)


def _check(metadata: ModelMetadata) -> None:
    classes, decision = metadata.classes, metadata.decision
    texts: tuple[object, ...] = (metadata.name, metadata.version, *classes)
    if not all(isinstance(text, str) and text for text in texts) or len(set(classes)) != len(classes):
        raise ModelError("Name, version and classes must be texts, and no class may come twice.")
    if len(classes) < 2 or not set(metadata.defects) <= set(classes):
        raise ModelError("It needs two classes or more, and its defects must be among them.")
    if not 0 <= decision.accept_below <= decision.reject_from <= 1:
        raise ModelError("Its thresholds must be 0 <= accept_below <= reject_from <= 1.")


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # where the system knows no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _limit_memory()
    try:
        said: dict[str, Any] = {"metadata": json.loads(probe(Path(sys.argv[1])).to_json())}
    except FlawsightError as problem:
        said = {"problem": str(problem)}
    sys.stdout.write(json.dumps(said))
