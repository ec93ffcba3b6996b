"""Threads that make steps, while the thread that started them keeps the order, the trail and the screen.

A step is a process nearly always, so that threads are enough. They answer through one queue. What they want to know from
the trail they ask there too: its index belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Event, Thread, current_thread
from time import monotonic
from typing import Any, NamedTuple, cast

from .adapters.children import Cancelled
from .provider import Context, Trail
from .types import Address

_PATIENCE = 15.0
"""Seconds that a cancelled step gets to end its processes; what computes in Python itself is then left behind."""


class Told(NamedTuple):
    """A step says how far it is."""

    address: Address
    line: str


class Restoring(NamedTuple):
    """A step has lost outputs made again that it needs: whose, and what is done to them."""

    address: Address
    text: str


class Ended(NamedTuple):
    """A step came to its end, with a value or an error."""

    address: Address
    value: Any = None
    error: BaseException | None = None


class _Asked(NamedTuple):
    question: Callable[[], Any]
    answer: Future[Any]


class Crew:
    """Runs each step in a thread of its own; close it, and every one of them is cancelled and waited for."""

    def __init__(self) -> None:
        self.cancelled = Event()
        self._said: SimpleQueue[Told | Restoring | Ended | _Asked] = SimpleQueue()
        self._owner = current_thread()
        self._threads: dict[Address, Thread] = {}

    def start(self, address: Address, work: Callable[[], Any]) -> None:
        """Begins a step; its ``Ended`` comes by ``news``."""
        thread = Thread(target=self._run, args=(address, work), name=str(address), daemon=True)
        self._threads[address] = thread
        thread.start()

    def _run(self, address: Address, work: Callable[[], Any]) -> None:
        try:
            self._said.put(Ended(address, work()))
        except BaseException as error:  # noqa: BLE001 - whatever it was belongs to the thread that waits
            self._said.put(Ended(address, error=error))

    def equip(self, address: Address, context: Context) -> Context:
        """The context for a thread: it tells and asks through the queue."""
        return context._replace(
            tell=lambda line: self._said.put(Told(address, line)), trail=cast(Trail, _Proxy(context.trail, self.ask))
        )

    def say(self, word: Restoring) -> None:
        """Tells something that comes by ``news``."""
        self._said.put(word)

    def ask(self, question: Callable[[], Any]) -> Any:
        """The answer of the thread that started the others, to which the trail and the order of things belong."""
        if current_thread() is self._owner:
            return question()
        if self.cancelled.is_set():
            raise Cancelled
        answer: Future[Any] = Future()
        self._said.put(_Asked(question, answer))
        return answer.result()

    def news(self, seconds: float) -> Told | Restoring | Ended | None:
        """The next word of a step; questions are answered meanwhile. None where none came in ``seconds``."""
        until = monotonic() + seconds
        while True:
            try:
                said = self._said.get(timeout=max(until - monotonic(), 0))
            except Empty:
                return None
            if not isinstance(said, _Asked):
                if isinstance(said, Ended):
                    self._threads.pop(said.address).join()
                return said
            try:
                said.answer.set_result(said.question())
            except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
                said.answer.set_exception(error)

    def close(self) -> None:
        """Cancels what runs, and waits until its processes have ended."""
        self.cancelled.set()
        until = monotonic() + _PATIENCE
        while self._threads and monotonic() < until:
            try:
                said = self._said.get(timeout=0.1)
            except Empty:
                continue
            if isinstance(said, _Asked):
                said.answer.set_exception(Cancelled())
            elif isinstance(said, Ended):
                self._threads.pop(said.address).join()
        self._threads.clear()


class _Proxy:
    """The trail for a thread: each method is called by the thread that the trail belongs to."""

    def __init__(self, trail: Trail, ask: Callable[[Callable[[], Any]], Any]):
        self._trail = trail
        self._ask = ask

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **named: self._ask(lambda: getattr(self._trail, name)(*args, **named))
