"""Remembers for a moment what the application's verify functions said about a client on a
connection."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["RecentAnswers"]

T = TypeVar("T")


class RecentAnswers(Generic[T]):
    """A bounded, thread-safe map from a client on a connection to an answer and when it was given.

    Times are seconds of a monotonic clock. Where there is no room the oldest answer is forgotten;
    what is forgotten is asked again, so that forgetting never admits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def get(self, key: Hashable, now: float, max_age: float) -> T | None:
        """The answer, None where there is none younger than `max_age` seconds."""
        with self._lock:
            found = self._answers.get(key)
        if found is None:
            return None
        given, answer = found
        return answer if 0 <= now - given < max_age else None

    def put(self, key: Hashable, given: float, answer: T, room: int) -> None:
        """Keeps an answer given at `given`; of two for one key the younger stays."""
        with self._lock:
            found = self._answers.get(key)
            if found is not None and found[0] > given:
                return
            self._answers[key] = (given, answer)
            self._answers.move_to_end(key)
            while len(self._answers) > room:
                self._answers.popitem(last=False)

    def __len__(self) -> int:
        return len(self._answers)
