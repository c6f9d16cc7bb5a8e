"""The way back from the map, which the project itself does not go."""

import numpy as np

from utils.arrays import F64
from utils.records import GeoReference


def map_to_pixels(points: F64, geo: GeoReference) -> F64:
    """Return points (..., 2) in the CRS of the raster as columns and rows."""
    a, b, c, d, e, f = geo.transform
    return np.asarray((points - [c, f]) @ np.linalg.inv([[a, b], [d, e]]).T, np.float64)
