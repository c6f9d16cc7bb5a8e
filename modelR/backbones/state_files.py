"""State dicts of backbones in files: filled in whole or refused in one line."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from modelR.backbones.timm_features import BackboneError, read_backbone_weights
from utils.checkpoint import listed_faults

logger = logging.getLogger(__name__)


def fill_from_file(network: nn.Module, file: Path, name: str, prefixes: Sequence[str] = ("",)) -> None:
    """Fill a network by the names of its tensors; other tensors of the file are left alone.

    Args:
        network: to be filled.
        file: .pth or .safetensors.
        name: of the network, as messages say it.
        prefixes: before the names in the file, the one that most of them have.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the network unset.
    """
    state, own = read_backbone_weights(file), network.state_dict()
    prefix = max(prefixes, key=lambda start: sum(start + key in state for key in own))
    found = {key: state[prefix + key] for key in own if prefix + key in state}
    faults = _faults(found, own, prefix)
    if faults:
        raise BackboneError(f"{file}: does not fit {name}: {listed_faults(faults)}")
    network.load_state_dict(found)
    logger.info("%s: all %d tensors of %s", file, len(own), name)


def _faults(found: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str) -> list[str]:
    faults = []
    for key, due in own.items():
        value = found.get(key)
        if value is None:
            faults.append(f"{prefix}{key} missing")
        elif value.shape != due.shape:
            faults.append(f"{prefix}{key} {tuple(value.shape)} instead of {tuple(due.shape)}")
    return faults
