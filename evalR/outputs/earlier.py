"""Earlier outputs, of calls that had other settings than this one."""

from collections.abc import Iterable
from pathlib import Path

from cfg.schema import OutputFormat
from evalR.outputs.kept import is_newer, kept_path
from evalR.outputs.layers import LAYERS
from evalR.outputs.write import SHARED, path_of

ALONE: tuple[OutputFormat, ...] = ("dota", "yolo", "geojson", "geopackage", "pictures")
NAMES = 5  # in one line


def earlier_outputs(out: Path, names: Iterable[str]) -> list[str]:
    """Return the files that were written before what is kept of their images was found.

    A call writes the formats that it is asked for; others stay as an earlier one left them.

    Args:
        names: of the outputs of images, without suffix.
    """
    kept = {name: place for name in names if (place := kept_path(out, name)).is_file()}
    newest = max(kept.values(), key=lambda place: place.stat().st_mtime_ns, default=None)
    shared = [out / name for form, name in (SHARED | LAYERS).items() if form not in ("yolo", "crops")]
    pairs = [(path, newest) for path in shared if newest]
    pairs += [
        (path, place) for name, place in kept.items() for form in ALONE if (path := path_of(out, name, form))
    ]
    return [
        path.relative_to(out).as_posix()
        for path, place in pairs
        if path.is_file() and not is_newer(path, place)
    ]


def earlier_line(out: Path, names: Iterable[str]) -> str | None:
    """Return a line that names them; None where there are none."""
    found = earlier_outputs(out, names)
    more = f" and {len(found) - NAMES} more" if len(found) > NAMES else ""
    return (
        f"{out}: left by an earlier call with other settings: {', '.join(found[:NAMES])}{more}"
        if found
        else None
    )
