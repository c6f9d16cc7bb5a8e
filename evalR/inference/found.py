"""Found objects of an image, for Python: arrays of numpy, records, files of any format, a picture."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from evalR.outputs.coco import write_coco_results
from evalR.outputs.dota import write_dota_labels
from evalR.outputs.geojson import to_geojson
from evalR.outputs.geopackage import write_geopackage
from evalR.outputs.measures import class_names_of, quads_of
from evalR.outputs.overview import overview_of
from evalR.outputs.pictures import annotate, legend, picture_of
from evalR.outputs.table import COLUMNS, csv_rows
from utils.arrays import F64, U8
from utils.drawing import save_image, with_legend
from utils.errors import UserError
from utils.files import write_json, write_text
from utils.rasters import Raster, array_raster
from utils.records import Detections, SceneDetections
from utils.scene_rasters import Reading, open_scene
from utils.tables import table_text
from utils.thresholds import Threshold
from utils.tiles import Window

SUFFIXES = (".jpg", ".jpeg", ".png", ".txt", ".csv", ".geojson", ".gpkg", ".json")
Rows = slice | ArrayLike  # a slice, a mask or row numbers


class FoundObject(NamedTuple):
    """One object."""

    quad: F64  # (4, 2) pixels, clockwise on the screen
    score: float  # 0 to 1
    label: int  # index into the classes
    name: str  # of the class


class Pixels(NamedTuple):
    """Where the picture comes from that is drawn on."""

    image: U8 | None  # (H, W, 3) RGB; None: the file is read again
    reading: Reading  # how
    largest: int  # px; of images with a longer side an overview is drawn
    threshold: Threshold  # of the scores of what was found


@dataclass(frozen=True, repr=False, eq=False)
class FoundObjects:
    """The objects found in one image or raster, highest score first.

    Length, iteration and indexing are those of the objects: `found[3]` is a `FoundObject`; `found[2:5]`,
    `found[found.scores > 0.5]` and `found[[4, 0]]` are `FoundObjects` again, of the same image.
    """

    scene: SceneDetections  # as the rest of the project has it
    pixels: Pixels

    @property
    def quads(self) -> F64:
        """(K, 4, 2) pixels of the source, x right and y down, each clockwise on the screen."""
        return quads_of(self.scene)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(K,) in [0, 1]."""
        return np.asarray(self.scene.detections.scores.numpy(), np.float32)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(K,) index into `classes`."""
        return np.asarray(self.scene.detections.labels.numpy(), np.int64)

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return class_names_of(self.scene)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes that the model knows."""
        return self.scene.classes

    @property
    def source(self) -> str:
        """The path as it was given, or `image in memory`."""
        return self.scene.source

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the source in pixels."""
        return self.scene.size

    @property
    def transform(self) -> tuple[float, float, float, float, float, float] | None:
        """From pixels to the coordinates of the map, see `GeoReference`; None: not geo-referenced."""
        return self.scene.geo.transform if self.scene.geo else None

    @property
    def crs(self) -> str | None:
        """Reference system of the map, as WKT; None: not geo-referenced."""
        return self.scene.geo.crs if self.scene.geo else None

    def __len__(self) -> int:
        return len(self.scene.detections.scores)

    def __iter__(self) -> Iterator[FoundObject]:
        scores, labels = (field.tolist() for field in self.scene.detections[1:])
        yield from map(FoundObject, self.quads, scores, labels, self.names)

    @overload
    def __getitem__(self, rows: "int | np.integer[Any]") -> FoundObject: ...

    @overload
    def __getitem__(self, rows: Rows) -> "FoundObjects": ...

    def __getitem__(self, rows: "int | np.integer[Any] | Rows") -> "FoundObject | FoundObjects":
        if isinstance(rows, int | np.integer):
            label = int(self.labels[rows])
            return FoundObject(self.quads[rows], float(self.scores[rows]), label, self.classes[label])
        chosen = torch.from_numpy(np.arange(len(self))[_to_rows(rows)].copy())
        detections = Detections(*(field[chosen] for field in self.scene.detections))
        return replace(self, scene=self.scene._replace(detections=detections))

    def __repr__(self) -> str:
        """Return one line: thousands of coordinates say nothing at a prompt."""
        counts = ", ".join(f"{name} {count}" for name, count in Counter(self.names).most_common())
        noun = "object" if len(self) == 1 else "objects"
        return f"<{len(self)} {noun} in {self.source}{': ' if counts else ''}{counts}>"

    def plot(self) -> U8:
        """Return the image (H, W, 3) uint8 RGB with outlines, class names and scores.

        It has the size of the source; of a source that is longer than `predict.max_picture` (4000 px) it is
        an overview of at most 2000 px.

        Raises:
            ImageError: the file cannot be read any more.
        """
        with self._open() as raster:
            if self._is_large:
                return overview_of(raster, self.scene)
            return annotate(raster.read(Window(0, 0, *self.size[::-1])), self.scene)

    def save(self, path: str | Path) -> Path:
        """Write a file of the format that its suffix says (docs/outputs.md), and return its path.

        .jpg and .png: a picture with a legend, enlarged where objects are small; .txt: lines as of DOTA;
        .csv: a table with measures; .geojson and .gpkg: outlines on the map; .json: COCO.

        Raises:
            UserError: another suffix, or a format whose library is not installed.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".jpg" | ".jpeg" | ".png":
                save_image(path, self._picture())
            case ".txt":
                write_dota_labels(path, self.scene)
            case ".csv":
                self.to_csv(path)
            case ".geojson":
                self.to_geojson(path)
            case ".gpkg":
                self.to_geopackage(path)
            case ".json":
                write_coco_results(path, [self.scene], self.classes)
            case suffix:
                raise UserError(f"{path}: expected a suffix of {', '.join(SUFFIXES)}, got {suffix!r}")
        return path

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a table with measures, one line an object, and write it where a path is given."""
        text = table_text(COLUMNS, csv_rows(self.scene))
        if path is not None:
            write_text(Path(path), text)
        return text

    def to_geojson(self, path: str | Path | None = None) -> dict[str, Any]:
        """Return a FeatureCollection in WGS 84, and write it where a path is given.

        Of a source that is not geo-referenced the coordinates are pixels.

        Raises:
            UserError: the source is geo-referenced and rasterio is not installed.
        """
        collection = to_geojson(self.scene)
        if path is not None:
            write_json(Path(path), collection)
        return collection

    def to_geopackage(self, path: str | Path) -> None:
        """Write a layer `detections` in the CRS of the source, of one without in pixels.

        Raises:
            UserError: pyogrio is not installed.
        """
        write_geopackage(Path(path), self.scene)

    @property
    def _is_large(self) -> bool:
        return max(self.size) > self.pixels.largest

    def _open(self) -> AbstractContextManager[Raster]:
        if self.pixels.image is not None:
            return nullcontext(array_raster(self.pixels.image))
        return open_scene(self.source, self.pixels.reading, warn=False)

    def _picture(self) -> U8:
        """Return the picture that predict.py writes."""
        with self._open() as raster:
            if self._is_large:
                return with_legend(overview_of(raster, self.scene), legend(self.scene, self.pixels.threshold))
            image = raster.read(Window(0, 0, *self.size[::-1]))
            return picture_of(image, self.scene, self.pixels.threshold)


def _to_rows(rows: Any) -> Any:
    """Return what numpy indexes by; an empty list means no rows, not a number that is none."""
    if isinstance(rows, slice):
        return rows
    numbers = np.asarray(rows)
    return numbers if numbers.size or numbers.dtype == bool else numbers.astype(np.int64)
