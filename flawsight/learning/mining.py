"""Where good training parts look defective to the network as it is: there the next epoch looks more often.

Rims and corners, stains and reflections are rare among random crops of good parts, while defects are cut out
on purpose; a network that never sees the hard places of good parts calls them defects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flawsight.data.samples import GENERATED, IMPLANTED, Sample
from flawsight.imaging import read_image
from flawsight.inspection.explain import cell_probabilities, real_cells
from flawsight.learning.backbones import CamNet
from flawsight.metadata import ModelMetadata
from flawsight.preprocessing import prepare

SUSPICIOUS = 0.1  # probability of any defect in a cell from which on it is worth a second look
MOST = 8  # cells of a picture


def suspects(
    net: CamNet, samples: Sequence[Sample], metadata: ModelMetadata
) -> Mapping[int, NDArray[np.int64]]:
    """Places of good photographs that look defective, by index of the sample, for ``CropSampler``.

    Returns:
        For each of them (N, 2) as (y, x) in pixels of the scaled picture, the most suspicious first;
        nothing for defective and drawn samples, and for those without such a place.
    """
    of_picture: dict[Path, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        drawn = sample.dataset.endswith((GENERATED, IMPLANTED))
        if sample.class_id not in metadata.defects and not drawn:
            of_picture[sample.path].append(index)
    learning = net.training
    net.eval()
    try:
        places = {path: _places(net, path, metadata) for path in of_picture}
    finally:
        net.train(learning)
    return {
        index: places[path] for path, indices in of_picture.items() for index in indices if len(places[path])
    }


@torch.no_grad()
def _places(net: CamNet, path: Path, metadata: ModelMetadata) -> NDArray[np.int64]:
    values, placement = prepare(read_image(path), metadata.preprocessing)
    device = next(net.parameters()).device
    _, features = net(torch.from_numpy(values)[None].to(device, memory_format=torch.channels_last))
    scores = net.class_map(features)[0].float().cpu().numpy()
    cells = real_cells(cell_probabilities(scores), placement, metadata.stride)
    suspicion = cells[metadata.is_defect].sum(axis=0)  # (h, w)
    order = np.argsort(-suspicion, axis=None, kind="stable")[:MOST]
    rows, columns = np.unravel_index(order[suspicion.ravel()[order] >= SUSPICIOUS], suspicion.shape)
    return (np.stack([rows, columns], axis=1) * metadata.stride + metadata.stride // 2).astype(np.int64)
