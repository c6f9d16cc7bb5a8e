"""Writing of all outputs of an image, and of those that all images share; any set of formats."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cfg.schema import OutputFormat, PredictConfig
from evalR.inference.sources import is_video
from evalR.outputs.coco import write_coco_results
from evalR.outputs.crops import write_crops
from evalR.outputs.dota import write_dota_labels
from evalR.outputs.geojson import write_geojson
from evalR.outputs.geopackage import write_geopackage
from evalR.outputs.layers import LAYERS, write_layers
from evalR.outputs.overview import dense_paths, write_overview
from evalR.outputs.pictures import write_picture
from evalR.outputs.table import write_csv
from evalR.outputs.yolo import write_names, write_yolo_labels
from utils.extras import need_extra
from utils.records import SceneDetections
from utils.scene_rasters import Reading, open_scene
from utils.tiles import Window

DEFAULT: tuple[OutputFormat, ...] = ("dota", "pictures")
CROPS = "crops"  # folder
SHARED: dict[OutputFormat, str] = {  # what all images are written into
    "csv": "detections.csv",
    "coco": "detections.json",
    "yolo": "data.yaml",
    "crops": CROPS,
}
VIDEO_SUFFIXES: dict[OutputFormat, str] = {"pictures": ".mp4", "dota": ".txt", "csv": ".csv"}


def formats_of(found: SceneDetections, config: PredictConfig) -> tuple[OutputFormat, ...]:
    """Return the formats that are asked for, or the ordinary ones of such an image."""
    return config.formats or (DEFAULT if found.geo is None else (*DEFAULT, "geojson"))


def check_extras(formats: Sequence[OutputFormat]) -> None:
    """Raise a UserError, before anything long begins, where a format needs what is not installed."""
    if "geojson" in formats or "geopackage" in formats:
        need_extra("rasterio", "the place of a raster on the map")
    if "geopackage" in formats:
        need_extra("pyogrio", "a GeoPackage")


def path_of(out: Path, name: str, form: OutputFormat) -> Path | None:
    """Return the file of an image in a format; None where it shares one with others, or gets many."""
    match form:
        case "dota":
            return out / f"{name}.txt"
        case "yolo":
            return out / "labels" / f"{name}.txt"
        case "geojson":
            return out / f"{name}.geojson"
        case "geopackage":
            return out / f"{name}.gpkg"
        case "pictures":
            return out / f"{name}.jpg"
    return None


def video_paths(out: Path, name: str, formats: Sequence[OutputFormat]) -> dict[OutputFormat, Path]:
    """Return the files of a video in those formats that there are for videos."""
    return {form: out / f"{name}{VIDEO_SUFFIXES[form]}" for form in formats if form in VIDEO_SUFFIXES}


def files_of(out: Path, names: Mapping[Path, str], formats: Sequence[OutputFormat]) -> Iterator[Path]:
    """Yield the files that may be written for images and videos; of the crops, their folder.

    Args:
        names: of the outputs of each source, without suffix.
    """
    yield from (out / own[form] for own in (SHARED, LAYERS) for form in formats if form in own)
    for source, name in names.items():
        if is_video(source):
            yield from video_paths(out, name, formats).values()
        else:
            yield from filter(None, (path_of(out, name, form) for form in formats))
            yield from dense_paths(out / name) if "pictures" in formats else ()


def write_format(
    out: Path, name: str, form: OutputFormat, found: SceneDetections, config: PredictConfig
) -> None:
    """Write what `path_of` says, or the crops of an image."""
    path = path_of(out, name, form)
    if form == "crops":
        with open_scene(found.source, Reading.of(config), warn=False) as raster:
            write_crops(out / CROPS, name, raster, found, config.crop_margin, config.crop_limit)
    if path is None:
        return
    match form:
        case "dota":
            write_dota_labels(path, found)
        case "yolo":
            write_yolo_labels(path, found)
        case "geojson":
            write_geojson(path, found)
        case "geopackage":
            write_geopackage(path, found)
        case "pictures":
            _draw(path, found, config)


def _draw(path: Path, found: SceneDetections, config: PredictConfig) -> None:
    height, width = found.size
    with open_scene(found.source, Reading.of(config), warn=False) as raster:
        if max(found.size) > config.max_picture:
            write_overview(path.with_suffix(""), raster, found, config.threshold)
        else:
            write_picture(path, raster.read(Window(0, 0, width, height)), found, config.threshold)


def write_shared(
    out: Path, everything: Sequence[SceneDetections], formats: Sequence[OutputFormat], classes: Sequence[str]
) -> None:
    """Write the files that hold all images."""
    if "csv" in formats:
        write_csv(out / SHARED["csv"], everything)
    if "coco" in formats:
        write_coco_results(out / SHARED["coco"], everything, classes)
    if "yolo" in formats:
        write_names(out / SHARED["yolo"], {}, classes)
    write_layers(out, everything, formats or (*DEFAULT, "geojson"))
