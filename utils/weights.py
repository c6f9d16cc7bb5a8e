"""Finding weights files."""

from pathlib import Path

WEIGHT_FOLDER = Path(__file__).parents[1] / "weight"


def find_weights(name: str | Path, folder: Path = WEIGHT_FOLDER) -> Path:
    """Return the file called `name`; a bare name that is not here is looked up in `folder`.

    Raises:
        FileNotFoundError: neither place has it.
    """
    path = Path(name)
    places = [path, folder / path] if path.name == str(path) else [path]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"{name}: no such weights file, looked for {', '.join(map(str, places))}")
