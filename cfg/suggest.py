"""Suggestions for a key that is no setting: what somebody may have meant."""

import difflib
from collections.abc import Sequence

from cfg.foreign import ADVICE, SAME
from cfg.readers import is_read
from cfg.words import kinds

LIST_ALL = "python train_GGHL.py --settings lists all there are"
ALIKE, NEARLY = 0.8, 0.9  # similarity of spelling in the same section, and anywhere
SECTION_ALIKE = 0.7
WEIGHTS = ("model", "model_path", "checkpoint", "ckpt")  # words by which others mean the option


def suggestion(key: str, options: Sequence[str] = ()) -> str:
    """Return "did you mean ...?", or a clause that helps, for a key that is no setting.

    Args:
        key: with a section in front or without.
        options: further words that a script knows, without ``=``.
    """
    section, _, last = key.lower().replace("-", "_").rpartition(".")
    whole = f"{section}.{last}"
    keys = [same for same, names in SAME.items() if whole in names.split()]
    clause = ADVICE.get(whole) or (None if keys else ADVICE.get(last))
    if clause:
        return clause
    keys = keys or _keys_like(_nearest_section(section), last)
    near = [f"{word}=" for word in options if not section and _alike(last, word, ALIKE)]
    if not section and last in WEIGHTS and "weights" in options:
        near.append("weights=")
    words = [f"'{word}'" for word in (*near, *keys)]
    if not words:
        return LIST_ALL
    return f"did you mean {' or '.join([', '.join(words[:-1]), words[-1]] if words[1:] else words)}?"


def _keys_like(section: str, last: str) -> list[str]:
    """Return the settings that are meant, those of the section alone where it has some."""
    same = [key for key, names in SAME.items() if last in names.split()]
    same += [key for key in kinds() if _last(key) == last and key not in same]
    here = [key for key in same if key.startswith(f"{section}.")]
    same = [key for key in same if is_read("gghl", key)] or same  # else of another detector
    spelled = _spelled(section, last) if section else []
    return here or [*spelled, *same] or _that_begin(section, last) or _spelled("", last)


def _spelled(section: str, last: str) -> list[str]:
    """Return the settings of a section, or of all, that are spelled most alike."""
    keys = [key for key in kinds() if key.startswith(f"{section}." if section else "")]
    cut = ALIKE if section else NEARLY
    ratios = {key: _ratio(last, _last(key)) for key in keys if _alike(last, _last(key), cut)}
    return [key for key, ratio in ratios.items() if ratio == max(ratios.values())]


def _that_begin(section: str, last: str) -> list[str]:
    """Return the settings of a section that begin with the word: train.warmup."""
    return [key for key in kinds() if last and key.startswith(f"{section}.{last}_")]


def _nearest_section(section: str) -> str:
    known = {key.partition(".")[0]: None for key in kinds()}
    return next(iter(difflib.get_close_matches(section, known, n=1, cutoff=SECTION_ALIKE)), "")


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _alike(one: str, other: str, cut: float) -> bool:
    """Return whether one is nearly the other, its plural, or has two neighbouring letters exchanged."""
    swaps = (one[:k] + one[k + 1] + one[k] + one[k + 2 :] for k in range(len(one) - 1))
    return _ratio(one, other) >= cut or one.rstrip("s") == other.rstrip("s") or other in swaps


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
