"""Videos: an annotated one, and what was found in each frame as text."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from cfg.schema import OutputFormat
from evalR.outputs.dota import dota_lines
from evalR.outputs.pictures import annotate
from evalR.outputs.table import CORNER_COLUMNS, PIXELS, csv_rows
from utils.arrays import U8
from utils.drawing import LegendEntry, legend_strip, with_legend
from utils.errors import UserError
from utils.files import replacing, strange_kind, write_text
from utils.progress import bar_over
from utils.records import Detections, SceneDetections
from utils.tables import write_table

log = logging.getLogger(__name__)
RATE = 25.0  # frames a second, of videos that do not say
CODEC = "mp4v"  # MPEG-4, which every build of OpenCV writes
COLUMNS = ("video", "frame", "class", "score", *CORNER_COLUMNS, "centre_x", "centre_y", *PIXELS)


class VideoInfo(NamedTuple):
    """What the head of a video says."""

    size: tuple[int, int]  # height, width
    rate: float  # frames a second
    frames: int  # 0: it does not say


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"#EXTM3U", b"ffconcat", b"<", b"v=0", b"["))


def video_info(path: Path) -> VideoInfo:
    """Return size, rate and number of frames.

    Raises:
        UserError: no video that OpenCV reads.
    """
    if strange_kind(path) or _is_text(path):  # a list of other files or addresses
        raise UserError(f"{path}: cannot be read as a video")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise UserError(f"{path}: cannot be read as a video")
        width, height = (
            int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        rate, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return VideoInfo((height, width), rate if 0 < rate < 1000 else RATE, max(int(frames), 0))


def read_frames(path: Path) -> Generator[U8, None, None]:
    """Yield the frames (H, W, 3) RGB up to the end, or to where the file is broken, which is logged.

    Raises:
        UserError: no frame can be read.
    """
    info, count = video_info(path), 0
    capture = cv2.VideoCapture(str(path))
    try:
        read, frame = capture.read()
        while read:
            count += 1
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            read, frame = capture.read()
    finally:
        capture.release()
    if not count:
        raise UserError(f"{path}: expected a video, found no frame that can be read")
    if count < info.frames:
        log.warning("%s: ends after %d of %d frames; what was read is kept", path, count, info.frames)


def predict_video(
    source: Path,
    paths: Mapping[OutputFormat, Path],
    find: Callable[[U8], Detections],
    classes: Sequence[str],
    legend: Sequence[LegendEntry] = (),
    quiet: bool = False,
) -> SceneDetections:
    """Write the annotated video and what was found in each frame.

    A line of the text begins with the number of the frame, from 0.

    Args:
        paths: where `pictures`, the video, `dota` and `csv` go, those of them that are wanted.
        find: an image (H, W, 3) RGB to its detections.
        legend: stands under each frame of the annotated video, which becomes higher by it.
        quiet: without a progress bar.

    Returns:
        The objects of all frames.
    """
    info, text, rows, everything = video_info(source), [], [], []
    with ExitStack() as stack:
        show = stack.enter_context(_writing(paths["pictures"], info, legend)) if "pictures" in paths else None
        frames = stack.enter_context(closing(read_frames(source)))
        progress = bar_over(frames, source.name, "frame", info.frames or None, quiet)
        for number, frame in enumerate(stack.enter_context(closing(progress))):
            found = SceneDetections(str(source), info.size, find(frame), tuple(classes), None)
            if show:
                show(annotate(frame, found))
            text += [f"{number} {line}" for line in dota_lines(found)]
            rows += [[name, number, *row[: len(COLUMNS) - 2]] for name, *row in csv_rows(found)]
            everything.append(found.detections)
    if "dota" in paths:
        write_text(paths["dota"], "".join(text))
    if "csv" in paths:
        write_table(paths["csv"], COLUMNS, rows)
    joined = Detections(*(torch.cat(fields) for fields in zip(*everything, strict=True)))
    return SceneDetections(str(source), info.size, joined, tuple(classes), None)


@contextmanager
def _writing(path: Path, info: VideoInfo, legend: Sequence[LegendEntry]) -> Iterator[Callable[[U8], None]]:
    """Yield what adds a frame to a video, which appears when all are there."""
    height, width = info.size
    height += len(legend_strip(width, legend)) if legend else 0
    with replacing(path) as temporary:
        code: Any = cv2.VideoWriter.fourcc(*CODEC)
        writer = cv2.VideoWriter(str(temporary), code, info.rate, (width, height))
        try:
            if not writer.isOpened():
                raise UserError(f"{path}: this build of OpenCV writes no video ({CODEC})")

            def write(image: U8) -> None:
                shown = with_legend(image, legend) if legend else image
                writer.write(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))

            yield write
        finally:
            writer.release()
