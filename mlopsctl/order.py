"""In which order steps start: after what they need, by priority, and the longest way first; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush

from .slots import priority
from .types import Address, Resource

Key = tuple[int, float, int]


def keys(resources: Mapping[Address, Resource], seconds: Callable[[Address], float]) -> dict[Address, Key]:
    """What each step is sorted by: the smallest starts first.

    ``seconds`` says how long a step will take, 0 where that is not known. Counted is the longest chain of steps that
    starts with this one: a machine is used best where long chains begin early. ``resources`` stand in plan order, which
    decides among equals, so that the order is the same in every run.
    """
    behind: dict[Address, float] = {}
    for want in reversed(list(resources.values())):
        own = behind[want.address] = behind.get(want.address, 0.0) + seconds(want.address)
        for need in want.needs:
            behind[need.address] = max(behind.get(need.address, 0.0), own)
    return {
        want.address: (-priority(want), -behind[want.address], place) for place, want in enumerate(resources.values())
    }


class Ready:
    """The steps whose needs are settled and that nobody has started."""

    def __init__(self, resources: Mapping[Address, Resource], sorted_by: Mapping[Address, Key]):
        self._keys = sorted_by
        self._after: dict[Address, list[Address]] = {}
        self._open: dict[Address, int] = {}
        self._back: list[tuple[Key, Address]] = []
        for want in resources.values():
            needed = {need.address for need in want.needs} & resources.keys()
            self._open[want.address] = len(needed)
            for address in needed:
                self._after.setdefault(address, []).append(want.address)
        self._heap = [(sorted_by[address], address) for address, count in self._open.items() if not count]
        heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap or self._back)

    def pop(self) -> Address | None:
        """The first in order; None where there is none."""
        return heappop(self._heap)[1] if self._heap else None

    def put_back(self, address: Address) -> None:
        """Keeps a step for which there is no room until ``again``."""
        self._back.append((self._keys[address], address))

    def again(self) -> None:
        """What was put back can be had again."""
        for one in self._back:
            heappush(self._heap, one)
        self._back.clear()

    def settled(self, address: Address) -> None:
        """One step is done with, whatever became of it: what waited for it alone is ready."""
        for after in self._after.get(address, ()):
            self._open[after] -= 1
            if not self._open[after]:
                heappush(self._heap, (self._keys[after], after))
