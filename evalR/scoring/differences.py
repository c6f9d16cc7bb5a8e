"""Differences between the protocols of two evaluations, which stand beside their figures."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from cfg.harmless import BATCHES

NOT_RECORDED = "not recorded"
HARMLESS_KEYS = {  # what may differ where the same was measured in the same way, and why
    "commit": "the code; changes of a protocol have keys of their own",
    "weights": "a path",
    "checkpoint_sha256": "what is measured, not how",
    "results": "a path",
    "results_sha256": "what is measured, not how",
    "device": "how it computes says `precision`",
    "eval.split": "a name; what it means says `data.split`",
    **BATCHES,  # recorded, for speed.json depends on them
}
MEASURED = ("checkpoint_sha256", "results_sha256")  # without these two, evaluations are of different things
RANKING = ("class_weight", "multi_label", "ratio_check", "pre_nms", "vote_iou", "support", "max_detections")
OLDER = {  # where these settings stand, too; before there were `settings`, there alone
    "eval.score_threshold": "thresholds.score",
    **{f"eval.{key}": key for key in ("scales", "flips", "turns")},
    "eval.nms_iou": "nms.iou",
    **{f"eval.{key}": f"nms.{key}" for key in ("merge", "merge_iou", *RANKING)},
}
SHOWN = 3  # differences of a message
DIGITS = 12  # of a hash


class Difference(NamedTuple):
    """One key that two protocols do not say alike."""

    key: str
    a: Any  # plain value, or NOT_RECORDED
    b: Any

    @property
    def recorded(self) -> bool:
        """Say whether both sides have the key."""
        return NOT_RECORDED not in (self.a, self.b)

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.key}: {self.value(self.a)} in A, {self.value(self.b)} in B"

    def value(self, value: Any) -> str:
        """Return a value as YAML has it; of hashes the first digits."""
        if isinstance(value, str):
            return value[:DIGITS] if self.key.endswith("sha256") and value != NOT_RECORDED else value
        return "none" if value is None else json.dumps(value, ensure_ascii=False)


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any], harmless: Collection[str] = tuple(HARMLESS_KEYS)
) -> list[Difference]:
    """Return the keys but the harmless ones that two protocols do not say alike, in the order of the first.

    Protocols of older versions, which lack keys, are read as far as they go.
    """
    first, second = facts(a), facts(b)
    keys = [key for key in dict.fromkeys((*first, *second)) if key not in harmless]
    pairs = ((key, first.get(key, NOT_RECORDED), second.get(key, NOT_RECORDED)) for key in keys)
    return [Difference(key, one, other) for key, one, other in pairs if one != other]


def facts(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a protocol says as plain values by dotted keys, each once; settings by their names."""
    flat = _flatten(json.loads(json.dumps(protocol)))  # a tuple is the list that a file has
    known = {key.removeprefix("settings."): value for key, value in flat.items()}
    for key, older in OLDER.items():
        value = known.pop(older, None)
        if value is not None:
            known.setdefault(key, value)
    if "data.split" in known:
        known.pop("split", None)
    return {key: value for key, value in known.items() if key != "nms"}  # null for result files


def _flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return flat


def said(found: Sequence[Difference]) -> str:
    """Return what A has and B, the one of now, has not, as part of a line; empty: they are the same."""
    known = [f"{one.key} {one.value(one.a)}, now {one.value(one.b)}" for one in found if one.recorded]
    unknown = [one.key for one in found if not one.recorded]
    parts = _first(known)
    if unknown:
        parts.append(f"no record of {', '.join(_first(unknown))}")
    return "; ".join(parts)


def _first(texts: Sequence[str]) -> list[str]:
    more = len(texts) - SHOWN
    return [*texts[:SHOWN], f"{more} more"] if more > 0 else list(texts)
