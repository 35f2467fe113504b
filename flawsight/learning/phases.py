"""Fine-tuning in steps: which layers learn, and how fast, in which epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from flawsight.learning.config import Phase

WARMUP = 0.1  # of a phase


def phase_at(phases: Sequence[Phase], progress: float) -> tuple[Phase, float]:
    """The phase at ``progress`` (0..1) of the run, and how far it has come itself (0..1)."""
    total = sum(phase.share for phase in phases)
    begin = 0.0
    for phase in phases:
        length = phase.share / total
        if progress < begin + length - 1e-9:
            return phase, (progress - begin) / length
        begin += length
    return phases[-1], 1.0


def last_begin(phases: Sequence[Phase]) -> float:
    """When the last phase begins, 0..1 of the run."""
    return 1 - phases[-1].share / sum(phase.share for phase in phases) if phases else 0.0


def learning_rate(phases: Sequence[Phase], progress: float) -> float:
    """Within each phase a short rise, then half a cosine down to a twentieth.

    Layers that wake up have no history yet in the optimizer; at full rate their first steps are wild.
    """
    phase, done = phase_at(phases, progress)
    rise = min(1.0, 0.05 + 0.95 * done / WARMUP)
    return phase.learning_rate * rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def let_learn(backbone: nn.Module, train: str) -> None:
    """Freeze the backbone but for its last layers; see ``Phase.train``.

    A frozen batch norm keeps its statistics, too. A layer is a module that owns weights.
    """
    layers = [layer for layer in backbone.modules() if list(layer.parameters(recurse=False))]
    awake = {"head": 0, "all": len(layers)}[train] if train in ("head", "all") else int(train)
    for number, layer in enumerate(reversed(layers)):
        learns = number < awake
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(learns)
        if not learns:
            layer.eval()
