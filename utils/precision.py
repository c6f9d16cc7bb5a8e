"""Mixed precision where the machine computes it natively; elsewhere it would only be slower."""

import torch

BF16_FEATURES = ("amx_bf16", "avx512_bf16")  # of x86 CPUs


def half_type(device: torch.device) -> torch.dtype | None:
    """Return the half type that the device has instructions for: bfloat16, float16 (older GPUs) or None."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu":
        features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if any(features.get(name) for name in BF16_FEATURES) else None
    return None


def mixed_precision(device: torch.device, wanted: bool) -> torch.autocast:
    """Return the autocast context for a forward pass; idle where `wanted` or the device says no."""
    dtype = half_type(device) if wanted else None
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def precision_name(device: torch.device, wanted: bool) -> str:
    """Return the type in which `mixed_precision` lets the device compute: float32, bfloat16 or float16."""
    dtype = half_type(device) if wanted else None
    return str(dtype or torch.float32).removeprefix("torch.")
