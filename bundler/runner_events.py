"""What runners tell of a run, put into its log: on its clock, under session ids of its own."""

from __future__ import annotations

import time
from typing import Any

from bundler import bundle
from bundler.events import Event
from bundler.live_bundle import LiveBundle
from bundler.masked_log import MaskedOutputs
from bundler.recording import Recording
from bundler.times import UNKNOWN_TIME, epoch_microseconds

_SEEN_BY_THE_RECORDER = frozenset({"RunStarted", "RunOutput", "RunFinished"})


class RunnerEvents:
    """The way of a runner's events into a live bundle.

    Every runner numbers its sessions from 1 and its microseconds from 0; a run may have several.
    Every method raises OSError or ValueError where the log cannot be written.
    """

    def __init__(self, live: LiveBundle) -> None:
        self._live = live
        self._shift_us = 0
        self._lane = 0
        self._lane_is_used = False

    def next_runner(self) -> None:
        """What is told from here on numbers its sessions from 1 again."""
        self._lane += self._lane_is_used
        self._lane_is_used = False

    def take(self, event: Event) -> None:
        """Take in one event as it is told; a RunStarted says when the runner's clock began."""
        if event.event == "RunStarted":
            self._shift_us = self._since_begin(str(event.payload().get("started_at")))
        self._append(event, event.payload())

    def take_recording(self, told: Recording) -> None:
        """Take in what a runner recorded, and its files. Raises what reading them raises, too."""
        from bundler.adoption import keep

        self.next_runner()
        began_us = epoch_microseconds(told.manifest.created_at) or 0
        self._shift_us = max(0, began_us - self._began_us())
        masked = MaskedOutputs(self._live.masker, told.events())
        for offset, event in told.events():
            self._append(event, masked.data(offset, event))
        for name in told.files:
            keep(told.files, name, self._live.directory / bundle.SOURCE / name)

    def take_suite(self, told: Recording) -> None:
        """Take in what a suite recorded of itself, on the clock of this run."""
        self.next_runner()
        self._shift_us = 0
        for _, event in told.events():
            self._append(event, event.payload())

    def _append(self, event: Event, data: dict[str, Any]) -> None:
        if event.event in _SEEN_BY_THE_RECORDER:
            return
        if "session" in data:
            self._lane_is_used = True
            data["session"] = f"{self._lane:04x}{data['session'][-4:]}"
        self._live.append(
            event.event,
            category=event.category,
            message=event.message,
            level=event.level,
            test_id=event.test_id,
            seed=event.seed,
            ts_us=event.ts_us + self._shift_us,
            data=data,
        )

    def _since_begin(self, started_at: str) -> int:
        """When something began, in microseconds since this run did; now where nobody knows."""
        at_us = epoch_microseconds(started_at)
        if started_at == UNKNOWN_TIME or at_us is None:
            return (time.monotonic_ns() - self._live.started_ns) // 1000
        return max(0, at_us - self._began_us())

    def _began_us(self) -> int:
        return epoch_microseconds(self._live.manifest.created_at) or 0
