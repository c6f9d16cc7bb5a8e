"""Demo data set: synthetic aerial scenes with exact quadrilaterals, without a download.

Ships, planes, vehicles and sports courts at any angle on water, aprons, roads, lots and grass, among
buildings, containers and trees that are no objects.  Every scene is determined by the seed, its split and
its number.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dataloadR.demo import shapes
from dataloadR.demo.grounds import SCALE, WATER, render_ground
from dataloadR.demo.plan import DEMO_CLASSES, Plan, plan_scene
from dataloadR.demo.shapes import Rng
from utils.errors import UserError

MARKER = "scenes.json"
VERSION = 1  # of the drawing; a folder of another version is made anew
JPEG_QUALITY = 95
SHADOWS = {
    "plane": 3.5,
    "vehicle": 2.0,
    "ship": 2.5,
    "building": 7.0,
    "tree": 4.0,
    "container": 2.5,
}  # pixels


class Scene(NamedTuple):
    """One picture and its labels."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    quads: NDArray[np.float32]  # (N, 4, 2) pixels, clockwise, whole even where the border cuts them
    labels: NDArray[np.int64]  # (N,) index into DEMO_CLASSES
    difficult: NDArray[np.int8]  # (N,) 0, 1 too small, 2 cut by the border


def _blend(canvas: NDArray[np.uint8], mask: NDArray[np.uint8], target: int, strength: float) -> None:
    """Pull the canvas towards a grey level where the mask is set; the mask's blur makes soft edges."""
    weight = cv2.GaussianBlur(mask, (0, 0), 1.2).astype(np.float32)[..., None] * (strength / 255)
    canvas[:] = (canvas + (target - canvas.astype(np.float32)) * weight).astype(np.uint8)


def _draw_things(canvas: NDArray[np.uint8], plan: Plan, rng: Rng) -> None:
    sun = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(sun), np.sin(sun)])
    shadows, foam = np.zeros(canvas.shape[:2], np.uint8), np.zeros(canvas.shape[:2], np.uint8)
    for thing in plan.things:
        offset = direction * SHADOWS.get(thing.name, 0.0) * (0.4 if thing.difficult == 1 else 1.0)
        for part in thing.parts if offset.any() else []:
            shapes.fill(shadows, shapes.local_to_image(part.points, thing.quad) + offset, (255,), SCALE)
        for part in thing.wake or []:
            shapes.fill(foam, shapes.local_to_image(part.points, thing.quad), part.colour[:1], SCALE)
    foam[plan.ground.zones != WATER] = 0
    _blend(canvas, foam, 225, 0.55)
    _blend(canvas, shadows, 16, 0.55)
    for thing in plan.things:
        shapes.paint(canvas, thing.parts, thing.quad, SCALE)


def _expose(canvas: NDArray[np.uint8], size: tuple[int, int], rng: Rng) -> NDArray[np.uint8]:
    """Reduce the canvas to the picture with its own brightness, contrast, tint, blur and sensor noise."""
    height, width = size
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.6)).astype(np.float32)
    tint = rng.uniform(0.95, 1.05, 3).astype(np.float32) * np.float32(rng.uniform(0.78, 1.18))
    image = (image - 110) * np.float32(rng.uniform(0.85, 1.12)) + 110
    image = image * tint + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1.0, 4.0))
    return np.asarray(np.clip(np.round(image), 0, 255), np.uint8)


def make_scene(rng: Rng, size: tuple[int, int] = (320, 320)) -> Scene:
    """Return one scene of the given height and width in pixels."""
    plan = plan_scene(size, rng)
    canvas = render_ground(plan.ground, size, rng)
    _draw_things(canvas, plan, rng)
    image = _expose(canvas, size, rng)
    objects = [thing for thing in plan.things if thing.name in DEMO_CLASSES]
    return Scene(
        image,
        np.array([o.quad for o in objects], np.float32).reshape(-1, 4, 2),
        np.array([DEMO_CLASSES.index(o.name) for o in objects], np.int64),
        np.array([o.difficult for o in objects], np.int8),
    )


def dota_text(scene: Scene) -> str:
    """Return the scene's labels as a DOTA file: two header lines, then one object a line."""
    lines = ["imagesource:synthetic", "gsd:null"]
    for quad, label, difficult in zip(scene.quads, scene.labels, scene.difficult, strict=True):
        numbers = " ".join(f"{value:.2f}" for value in quad.reshape(-1))
        lines.append(f"{numbers} {DEMO_CLASSES[label]} {difficult}")
    return "\n".join(lines) + "\n"


def write_demo_scenes(
    root: str | Path, seed: int = 0, train: int = 240, val: int = 60, size: tuple[int, int] = (320, 320)
) -> Path:
    """Write `root/{train,val}/{images,labelTxt}` in DOTA's format and return root.

    The folder is written beside root and then renamed, so that it is complete or not there.  A complete
    folder of the same settings is left as it is, one of other settings is made anew.

    Raises:
        UserError: root holds files that this function did not write.
    """
    root = Path(root)
    settings = {"version": VERSION, "seed": seed, "train": train, "val": val, "size": list(size)}
    if _is_complete(root, settings):
        return root
    temporary = root.with_name(root.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for number, (split, count) in enumerate((("train", train), ("val", val))):
            _write_split(temporary / split, [seed, number], count, size)
        (temporary / MARKER).write_text(json.dumps(settings) + "\n")
        shutil.rmtree(root, ignore_errors=True)
        temporary.rename(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


def _is_complete(root: Path, settings: dict[str, object]) -> bool:
    marker = root / MARKER
    if marker.is_file():
        return marker.read_text(errors="replace") == json.dumps(settings) + "\n"
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: expected a folder written by write_demo_scenes, found no {MARKER} in it")
    return False


def _write_split(folder: Path, seed: list[int], count: int, size: tuple[int, int]) -> None:
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        scene = make_scene(np.random.default_rng([*seed, number]), size)
        image_path = folder / "images" / f"scene_{number:04d}.jpg"
        bgr = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(image_path), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise UserError(f"{image_path}: the image could not be written")
        (folder / "labelTxt" / f"{image_path.stem}.txt").write_text(dota_text(scene))
