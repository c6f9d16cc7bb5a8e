"""Missing splits: those that training looks for, and the command that makes them."""

from pathlib import Path

from dataloadR.direct import Split
from datasets_tools.doctor.files import ALL, Sources
from datasets_tools.doctor.findings import Finding, found
from datasets_tools.next_steps import lists_of, make_list_command, split_settings


def split_findings(root: Path, sources: Sources) -> list[Finding]:
    """Return what training would say about the splits; nothing for one list file and for test sets."""
    names = list(sources)
    if isinstance(sources[names[0]], Path) and root.is_file():
        return []
    if names == [ALL]:
        advice = _make_splits(root, sources)
        return [finding._replace(advice=advice) for finding in found("no-splits", [str(root)])]
    settings = split_settings(names)
    if settings or settings == [] or all(name.startswith("test") for name in names):
        told = f"train with {' '.join(settings or [])}"
        findings = found("split-names", [f"found {', '.join(names)}"] if settings else [])
        return [finding._replace(advice=told) for finding in findings]
    missing = [f"{name}: found {', '.join(names)}" for name in ("train", "val") if name not in names]
    advice = f"name others with data.train= and data.val=, or {_make_splits(root, sources)}"
    return [finding._replace(advice=advice) for finding in found("split-missing", missing)]


def _make_splits(root: Path, sources: Sources) -> str:
    """Return the command that deals the images out, and what data.root is then."""
    source = next(iter(sources.values()))
    if isinstance(source, Split) or len(sources) > 1:
        return f"{make_list_command(root, names=False)}; then data.root={lists_of(root)}"
    if isinstance(source, Path):
        return f"{make_list_command(source, names=False)}; then data.root={lists_of(source)}"
    place = source.images.parent
    return f"{make_list_command(place)}; then data.root={place}"
