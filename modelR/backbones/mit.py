"""MiT-B1 (SegFormer, arXiv:2105.15203), known to timm as `mit_b1` once this is imported.

It is PVTv2-B1 with four times the channels inside every MLP.  Both name their tensors alike, so timm reads
published weights of it, too.
"""

from typing import Any

from timm.models import register_model
from timm.models.pvt_v2 import PyramidVisionTransformerV2, pvt_v2_b1

MLP_RATIO = 4
DROP_PATH = 0.1  # of the last block, rising from 0 at the first


@register_model
def mit_b1(pretrained: bool = False, **settings: Any) -> PyramidVisionTransformerV2:
    """Return the network (spec 5.9) with the settings of any network of timm."""
    settings = {"mlp_ratios": (MLP_RATIO,) * 4, "drop_path_rate": DROP_PATH} | settings
    network: PyramidVisionTransformerV2 = pvt_v2_b1(pretrained=pretrained, **settings)
    return network
