"""Raster files that rasterio may open, and with which of GDAL's drivers.

GDAL asks all of its drivers what a file is, and many mean another place: a text of a few lines that is called
`a.tif` may name files anywhere on the disk, or addresses in the network.  So a file is opened by the drivers
of pixels alone, and a VRT, which names other files by its nature, only after a look at what it names.
"""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cfg.predict import PredictConfig
from utils.files import is_text
from utils.images import ImageError

PIXELS = ("GTiff", "COG", "JPEG", "PNG", "JP2OpenJPEG", "BMP", "GIF", "BIGGIF", "WEBP", "PNM")  # nothing else
MORE = {".img": ("HFA",), ".ntf": ("NITF",), ".nitf": ("NITF",)}  # for suffixes that promise it
REMOTE = {".xml": ("WMS", "WMTS"), ".wms": ("WMS",)}  # descriptions of services
VRT = ".vrt"
# how files of pixels begin: TIFF, JPEG, PNG, JPEG 2000 as file and as stream, BMP, GIF, WebP, PNM, HFA, NITF
MAGIC = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xff\xd8", b"\x89PNG", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    *(b"BM", b"GIF8", b"RIFF", b"P5", b"P6", b"EHFA", b"NITF"),
)
SIDECARS = (".msk", ".ovr")  # beside a file, which GDAL opens as it likes
NAMES = ("SourceFilename", "SourceDataset", "CutlineDSName", "DEMPath")  # elements of a VRT that name files
OVERVIEWS = ("OVERVIEW_FILE",)  # keys of metadata that name files
PLACES = ("X_DATASET", "Y_DATASET")  # likewise, in a VRT that is warped by them
MOST_VRT = 1 << 28  # bytes; a mosaic of a million files has as many
DEEPEST = 8  # VRTs of VRTs
# what GDAL is told besides: whatever asks for the network finds none, and a VRT runs no code
NO_NETWORK = {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none", "GDAL_HTTP_PROXY": "127.0.0.1:9"}
CAREFUL = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "SIBLING_OR_CHILD_OF_VRT_PATH",
}


class Access(NamedTuple):
    """What a raster may have read besides itself."""

    remote: bool = False  # addresses in the network
    folders: tuple[str, ...] = ()  # for a VRT, besides its own

    @classmethod
    def of(cls, config: PredictConfig) -> "Access":
        """Return what the settings allow."""
        return cls(config.remote, config.vrt_folders)


LOCAL = Access()


def drivers_for(path: str | Path, access: Access) -> list[str]:
    """Return the drivers that may open a file of this name."""
    suffix = Path(path).suffix.lower()
    if suffix == VRT:
        return ["VRT"]
    return [*PIXELS, *MORE.get(suffix, ()), *(REMOTE.get(suffix, ()) if access.remote else ())]


def gdal_name(path: str | Path) -> str:
    """Return a path that GDAL takes for one: before a colon it would look for a driver."""
    return os.path.abspath(path) if ":" in str(path) else str(path)  # noqa: PTH100 - links keep names


def gdal_options(access: Access) -> dict[str, Any]:
    """Return what GDAL is told while a file is open."""
    return CAREFUL if access.remote else CAREFUL | NO_NETWORK


def check_raster_file(path: str | Path, access: Access) -> None:
    """Look at what GDAL would open with a file.

    Raises:
        ImageError: it names files that are not for it, or something in the network.
    """
    place = Path(path)
    if not is_text(place):
        raise ImageError(f"{path}: expected a path in UTF-8; give it another")
    if access.remote:
        return
    if place.suffix.lower() == VRT:
        _check_vrt(place, [place.resolve().parent, *(Path(f).resolve() for f in access.folders)], place, 1)
    _check_sidecars(place)


def _check_sidecars(path: Path) -> None:
    for suffix in SIDECARS:
        beside = path.with_name(path.name + suffix)
        if os.path.lexists(beside) and not _is_pixels(beside):
            raise ImageError(f"{beside}: expected a TIFF beside {path.name}, got another kind of file")
    notes = path.with_name(f"{path.name}.aux.xml")
    if os.path.lexists(notes):
        root = _parsed(notes, path)
        for name in _metadata_names(root, OVERVIEWS):
            raise ImageError(f"{notes}: names the file {name!r}, which is not opened; remove it from there")


def _is_pixels(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8).startswith(MAGIC)


def _parsed(path: Path, of: Path) -> ET.Element:
    if not path.is_file() or path.stat().st_size > MOST_VRT:
        raise ImageError(f"{path}: expected a file of XML of at most {MOST_VRT} bytes, for {of}")
    data = path.read_bytes()
    if b"<!ENTITY" in data or b"<!DOCTYPE" in data:  # a few lines of which can become gigabytes
        raise ImageError(f"{path}: expected XML without declarations of its own")
    try:
        return ET.fromstring(data)
    except ET.ParseError as error:
        raise ImageError(f"{path}: cannot be decoded: no valid XML, {error}") from None


def _check_vrt(path: Path, folders: list[Path], first: Path, depth: int) -> None:
    """Check the files of a VRT, and those of VRTs that it names."""
    if depth > DEEPEST:
        raise ImageError(f"{first}: VRTs that name VRTs, more than {DEEPEST} deep")
    root = _parsed(path, first)
    seen = set()
    for named in _names(root):
        if named in seen:
            continue
        seen.add(named)
        files = _local(path, named)
        if not files:
            raise ImageError(
                f"{path}: names {named.text!r}, which is no local file; what is remote needs "
                "predict.remote=true"
            )
        for file in files:
            _check_named(path, named.text, file, folders)
            if file.suffix.lower() == VRT:
                _check_vrt(file, folders, first, depth + 1)
            _check_sidecars(file)


def _check_named(path: Path, name: str, file: Path, folders: list[Path]) -> None:
    if not any(file.is_relative_to(folder) for folder in folders):
        raise ImageError(
            f"{path}: names {name!r}, which is not below {folders[0]} but {file}; allow its folder with "
            f"predict.vrt_folders={file.parent}"
        )
    if file.suffix.lower() != VRT and not _is_pixels(file):
        raise ImageError(f"{path}: names {name!r}, which is no image of a kind that a VRT may read")


class _Name(NamedTuple):
    """A name of a file in a VRT."""

    text: str
    is_relative: bool = False  # surely to the VRT; else to the working folder, or to either


def _local(path: Path, name: _Name) -> list[Path]:
    """Return the files that a name in a VRT may mean, links resolved; none of this disk: nothing."""
    if "\0" in name.text or name.text.startswith(("/vsi", "<", "vrt:")):
        return []
    places = [path.parent / name.text, *([] if name.is_relative else [Path(name.text)])]
    files = [place.resolve() for place in places if os.path.isfile(place)]  # noqa: PTH113 - raises never
    return list(dict.fromkeys(files))


def _names(root: ET.Element) -> Iterator[_Name]:
    """Yield every name of a file, and whatever else looks like an address."""
    for element in root.iter():
        text = (element.text or "").strip()
        if element.tag in NAMES or (element.tag == "Argument" and "filename" in element.get("name", "")):
            yield _Name(text, element.get("relativeToVRT") == "1")
        elif not _is_metadata(element):
            words = (text, *element.attrib.values())
            yield from (_Name(word) for word in words if _is_address(word))
    yield from map(_Name, _metadata_names(root, (*OVERVIEWS, *PLACES)))


def _is_metadata(element: ET.Element) -> bool:
    return element.tag in ("MDI", "Metadata", "SRS", "Description")


def _is_address(text: str) -> bool:
    return "/vsi" in text or ("://" in text and not text.startswith("http://www.opengis.net/"))


def _metadata_names(root: ET.Element, keys: tuple[str, ...]) -> Iterator[str]:
    """Yield files that are named in metadata."""
    for element in root.iter("MDI"):
        if element.get("key") in keys:
            yield (element.text or "").strip()
