"""Views of a batch against pixels and points moved one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfg.load import ConfigError, load_config
from evalR.inference.views import View, scaled_input, views_of
from utils.images import compose, invert, letterbox_matrix, transform_quads
from utils.quads.geometry import invert_affine, transform_points
from utils.records import Frame

ALL = [View(1.0, mirrored, turns) for mirrored in (False, True) for turns in range(4)]
SIZE = (64, 96)  # height, width


@pytest.mark.parametrize("view", ALL, ids=str)
def test_every_pixel_goes_where_the_matrix_says(view: View) -> None:
    images = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    turned, matrix = view.turned(images), view.matrix((4, 6))
    for row in range(4):
        for column in range(6):
            x, y = matrix @ [column + 0.5, row + 0.5, 1.0]
            assert torch.equal(turned[:, :, int(y), int(x)], images[:, :, row, column])


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), [[1, 2], [3, 4], [5, 6]]),
        (View(turns=1), [[2, 4, 6], [1, 3, 5]]),  # counter-clockwise
        (View(mirrored=True), [[2, 1], [4, 3], [6, 5]]),
        (View(mirrored=True, turns=2), [[5, 6], [3, 4], [1, 2]]),  # upside down
    ],
    ids=str,
)
def test_by_hand(view: View, expected: list[list[int]]) -> None:
    assert view.turned(torch.tensor([[1, 2], [3, 4], [5, 6]])).tolist() == expected


@pytest.mark.parametrize("view", ALL, ids=str)
@given(points=st.lists(st.integers(-4000, 4000), min_size=8, max_size=8))
@settings(max_examples=20, deadline=None)
def test_whole_coordinates_come_back_exactly(view: View, points: list[int]) -> None:
    quads = np.array(points, np.float32).reshape(1, 4, 2)
    matrix = view.matrix(SIZE)
    there = transform_quads(quads, matrix)
    np.testing.assert_array_equal(transform_quads(there, invert(matrix)), quads)
    np.testing.assert_array_equal(compose(invert(matrix), matrix), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("view", ALL, ids=str)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 4.0))
@settings(max_examples=20, deadline=None)
def test_frames_lead_back_to_the_source(view: View, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    source = (int(rng.integers(20, 2000)), int(rng.integers(20, 2000)))
    size = scaled_input(SIZE, scale)
    frame = Frame(letterbox_matrix(source, size).astype(np.float32), source, size)
    turned = view.frame(frame)
    images = view.turned(torch.zeros(1, 3, *size))
    assert tuple(images.shape[2:]) == turned.input_size
    quads = torch.from_numpy(rng.uniform(-100, 2100, (5, 4, 2)))
    there = transform_points(quads, torch.from_numpy(turned.matrix).double())
    back = transform_points(there, invert_affine(torch.from_numpy(turned.matrix).double()))
    assert torch.allclose(back, quads, rtol=0, atol=1e-6)
    by_steps = transform_quads(transform_quads(quads.numpy(), frame.matrix), view.matrix(size))
    np.testing.assert_allclose(there, by_steps, rtol=1e-5, atol=1e-3)


def test_plain_views_cost_nothing() -> None:
    frame = Frame(np.eye(2, 3, dtype=np.float32), SIZE, SIZE)
    images = torch.zeros(1, 3, *SIZE)
    assert View(1.5).frame(frame) is frame
    assert View().turned(images) is images


def views(*words: str) -> list[View]:
    return views_of(load_config(None, words).eval)


def test_settings_become_views() -> None:
    assert views() == [View()]
    assert views("eval.flips=horizontal") == [View(), View(mirrored=True)]
    upside_down = View(mirrored=True, turns=2)
    assert views("eval.flips=vertical") == [View(), upside_down]
    assert views("eval.flips=both", "eval.scales=[1, 1.5]") == [
        View(scale, mirrored, turns)
        for scale in (1.0, 1.5)
        for mirrored, turns in ((False, 0), (True, 0), (True, 2))
    ]
    assert len(views("eval.flips=both", "eval.turns=[0,1,2,3]")) == 8  # the same views by two ways are one
    assert views("eval.turns=[2]") == [View(turns=2)]


@pytest.mark.parametrize(
    "word", ["eval.turns=[4]", "eval.turns=[]", "eval.scales=[]", "eval.scales=[0]", "eval.flips=left"]
)
def test_bad_settings_are_named(word: str) -> None:
    with pytest.raises(ConfigError, match=word.partition("=")[0]):
        load_config(None, [word])


def test_scaled_sizes_are_multiples_of_32() -> None:
    assert scaled_input((512, 640), 1.0) == (512, 640)
    assert scaled_input((512, 640), 0.8) == (416, 512)
    assert scaled_input((512, 640), 1.3) == (672, 832)
    assert scaled_input((64, 64), 0.1) == (32, 32)
