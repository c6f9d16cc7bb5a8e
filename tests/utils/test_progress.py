"""Progress of several processes, seen by one of them."""

import pytest

from utils.progress import counting_for_all


@pytest.mark.parametrize(("own", "total"), [(3, 7), (5, 5), (1, 100), (40, 121), (3, 0), (0, 0)])
def test_a_share_of_the_work_stands_for_all_of_it(own: int, total: int) -> None:
    counts: list[int] = []
    count = counting_for_all(counts.append, own, total)
    for k in range(own):
        count(1)
        assert abs(sum(counts) - total * (k + 1) / own) < 1
    assert sum(counts) == (total if own else 0)
