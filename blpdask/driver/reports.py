"""Reports of workers: heard once a client, passed on to the placement they are of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

from .dask_worker import TOPIC


class ReportHub:
    """Passes reports on to those who are still there."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._ears: dict[str, WeakMethod[Callable[[int], None]]] = {}

    def listen(self, placement: str, hear: Callable[[int], None]) -> None:
        """Tell a method how many blocks of a placement were done since last time."""
        self._ears = {
            name: ear for name, ear in self._ears.items() if ear() is not None
        }
        self._ears[placement] = WeakMethod(hear)

    def hear(self, event: tuple[float, Any]) -> None:
        """Pass a worker's report on."""
        _, message = event
        ear = self._ears.get(message.get("placement"), lambda: None)()
        if ear is not None:
            ear(int(message["done"]))


def hub_of(client: Any) -> ReportHub:
    """Give the hub of a client, which subscribes to the reports once."""
    if client not in _HUBS:
        _HUBS[client] = ReportHub()
        client.subscribe_topic(TOPIC, _HUBS[client].hear)
    return _HUBS[client]


#: A client's handlers are the client's: there is one of a topic.
_HUBS: WeakKeyDictionary[Any, ReportHub] = WeakKeyDictionary()
