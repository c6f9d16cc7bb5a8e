"""Figures: legends off the curves, whole epochs, the colours of classes."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from utils.palette import class_colour
from utils.plots import class_line, panels, put_legend, put_wide_legend, save_figure
from utils.runlog import curves_figure


def check_legends(figure: Figure) -> None:
    """Legends lie in the figure, and off all axes, their numbers and names, and each other."""
    figure.canvas.draw()
    legends = [axis.get_legend() for axis in figure.axes if axis.get_legend()] + figure.legends
    boxes = [legend.get_window_extent() for legend in legends]
    whole = figure.bbox
    for k, box in enumerate(boxes):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        for axis in figure.axes:
            assert not box.overlaps(axis.bbox)
            assert not box.overlaps(axis.xaxis.get_tightbbox())
        assert not any(box.overlaps(other) for other in boxes[:k])


def write_epochs(folder: Path, count: int, terms: int = 6) -> Figure:
    heads = ["epoch", *(f"term{k}" for k in range(terms)), "AP50", "AP75", "lr"]
    rows = [
        [epoch, *((k + 1) / epoch for k in range(terms)), 0.1, 0.05, 0.01] for epoch in range(1, count + 1)
    ]
    lines = [heads, *rows]
    (folder / "results.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    return curves_figure(folder / "results.csv")


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_epochs_are_whole_numbers(tmp_path: Path, count: int) -> None:
    figure = write_epochs(tmp_path, count)
    figure.canvas.draw()
    for axis in figure.axes:
        low, high = axis.get_xlim()
        ticks = [x for x in axis.get_xticks() if low <= x <= high]
        words = [text.get_text() for text in axis.get_xticklabels() if low <= text.get_position()[0] <= high]
        assert ticks
        assert all(x == round(x) for x in ticks)
        assert all("." not in word for word in words)
        assert low < 1 <= count < high
        if count <= 2:
            assert ticks == [float(k) for k in range(1, count + 1)]
    check_legends(figure)


@pytest.mark.parametrize("terms", [1, 20])
def test_legends_of_curves_lie_below(tmp_path: Path, terms: int) -> None:
    check_legends(write_epochs(tmp_path, 5, terms))


@pytest.mark.parametrize("classes", [0, 1, 20])
def test_legends_of_classes_lie_below_all(tmp_path: Path, classes: int) -> None:
    names = [f"Expressway-Service-area-{k}" for k in range(classes)]
    figure, (first, second) = panels(2, [["f1"]], names)
    first.plot([0, 1], [0, 1], label="f1")
    for k, name in enumerate(names):
        second.plot([0, 1], [0, k], label=name, **class_line(k))
    for axis in (first, second):
        axis.set_xlabel("score")
    put_legend(first)
    put_wide_legend(figure, second)
    check_legends(figure)
    assert min(axis.bbox.height for axis in figure.axes) > 200
    for k, line in enumerate(second.lines):
        assert np.allclose(np.array(to_rgb(line.get_color())) * 255, class_colour(k))
    kinds = {(line.get_color(), line.get_linestyle()) for line in second.lines}
    assert len(kinds) == classes
    assert len({(line["color"], line["ls"]) for line in map(class_line, range(60))}) == 60
    save_figure(tmp_path / "a.png", figure)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
