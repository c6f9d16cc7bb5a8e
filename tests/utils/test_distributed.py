"""One process alone, and how rows are shared among several; real ones stand in tests/test_training.py."""

import pytest
import torch

from utils import distributed


def test_alone_nothing_changes() -> None:
    values = torch.tensor([1.0, 2.0])
    assert distributed.join("cpu") == "cpu"
    assert torch.equal(distributed.sum_over_ranks(values), values)
    assert distributed.gather("x") == ["x"]
    assert distributed.from_main("x") == "x"
    assert distributed.any_rank(True, torch.device("cpu"))
    assert not distributed.any_rank(False, torch.device("cpu"))
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    with distributed.main_first():
        pass
    distributed.leave()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12, 13])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 2, 4])
def test_shared_rows_come_back_in_order(
    count: int, world: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda own=rank: own)
        parts.append(distributed.own_rows(count, block))
    assert sorted(row for part in parts for row in part) == list(range(count))
    assert distributed.interleave(parts, block, count) == list(range(count))
