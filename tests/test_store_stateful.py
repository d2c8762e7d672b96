"""The store against a dictionary: what was acknowledged is there, whatever happens in between."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import a_manifest
from full_size import examples
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from bundler import bundle, live_bundle, packing, pruning, sealing
from bundler.archive import open_zip
from bundler.errors import AmbiguousRun, RunNotFound, UnreadableRecording
from bundler.live_bundle import LiveBundle
from bundler.manifest import RunStatus
from bundler.retention import Policy
from bundler.store import Store
from bundler.verification import repair, verify

TEN_YEARS = 10 * 365 * 86_400
ALWAYS_KEPT = 5


@dataclass
class Known:
    """What the dictionary holds of a run: the events that were acknowledged, and how it stands."""

    events: int
    live: LiveBundle | None = None
    status: str = "running"
    damaged: bool = False


class StoreAndDictionary(RuleBasedStateMachine):
    """Every rule does one thing to the store and notes it in the dictionary."""

    runs = Bundle("runs")
    zips = Bundle("zips")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="stateful-"))
        self.store = Store(self.root, Path("/a/project"))
        self.known: dict[str, Known] = {}
        self.archives: dict[str, tuple[str, bytes, Known]] = {}
        self.made = 0
        self.now_us = time.time_ns() // 1000

    def teardown(self) -> None:
        for one in self.known.values():
            if one.live:
                one.live.close()
        shutil.rmtree(self.root)

    def path(self, run_id: str) -> Path:
        return self.store.find(run_id).path

    def stands(self, run_id: str, *, live: bool) -> bool:
        """Whether the dictionary has this run, recorded at this moment or not."""
        one = self.known.get(run_id)
        return one is not None and (one.live is not None) is live

    # What a recorder does

    @initialize()
    def nothing(self) -> None:
        assert self.store.runs() == []

    @rule(target=runs, digit=st.sampled_from("0123"))
    def start(self, digit: str) -> str:
        self.made += 1
        run_id = f"{digit}{self.made:07x}-0000-4000-8000-000000000000"
        manifest = a_manifest(run_id=run_id, status=RunStatus("running"))
        path = self.store.new_run(run_id)
        live = live_bundle.begin(path, manifest, started_ns=time.monotonic_ns())
        self.known[run_id] = Known(1, live)
        return run_id

    @rule(run_id=runs)
    def append(self, run_id: str) -> None:
        if self.stands(run_id, live=True):
            one = self.known[run_id]
            assert one.live
            one.live.append("RunOutput", category="output", message="", data={"text": "x"})
            one.events += 1

    @rule(run_id=runs, torn=st.booleans())
    def kill(self, run_id: str, torn: bool) -> None:
        if self.stands(run_id, live=True):
            one = self.known[run_id]
            assert one.live
            if torn:
                os.write(one.live._descriptor, b'{"v": 1, "ts_us"')
            directory = one.live.directory
            one.live.close()
            (directory / bundle.LOCK).touch()  # a killed process leaves it behind, unlocked
            one.live, one.status = None, "interrupted"

    @rule(run_id=runs)
    def finish(self, run_id: str) -> None:
        if self.stands(run_id, live=True):
            one = self.known[run_id]
            assert one.live
            results = bundle.read(one.live.directory).results
            one.live.finish(RunStatus("passed", exit_code=0), "2026-01-01T00:00:00Z", results)
            one.live, one.status, one.events = None, "passed", one.events + 1

    # What people do

    @rule(run_id=runs)
    def seal(self, run_id: str) -> None:
        if self.stands(run_id, live=False) and not self.known[run_id].damaged:
            sealing.seal_abandoned(self.path(run_id))

    @rule(target=zips, run_id=runs)
    def pack(self, run_id: str) -> str:
        name = f"{len(self.archives)}"
        if self.stands(run_id, live=False) and not self.known[run_id].damaged:
            target = io.BytesIO()
            packing.pack(self.path(run_id), target)
            copy = Known(self.known[run_id].events, status=self.known[run_id].status)
            self.archives[name] = run_id, target.getvalue(), copy
        return name

    @rule(name=zips)
    def add(self, name: str) -> None:
        if name in self.archives:
            run_id, content, copy = self.archives[name]
            members = open_zip(io.BytesIO(content), where=name)
            self.store.add(bundle.from_members(members, where=name), {"added_from": name})
            self.known.setdefault(run_id, Known(copy.events, status=copy.status))

    @rule(keep=st.integers(0, 8), days=st.sampled_from([None, 1, 30]))
    def prune(self, keep: int, days: float | None) -> None:
        policy = Policy(keep_runs=keep, keep_bytes=None, keep_days=days)
        order = list(self.known)
        plan, runs = pruning.planned(self.store, policy, self.now_us)
        named = {run.run_id for run, _ in plan.delete}
        safe = order[-max(1, min(keep, ALWAYS_KEPT)) :]
        safe += [run_id for run_id, one in self.known.items() if one.live]
        assert not named & set(safe)
        pruning.carry_out(self.store, plan, runs, self.now_us)
        self.known = {key: one for key, one in self.known.items() if key not in named}

    @rule(seconds=st.sampled_from([-TEN_YEARS, -3600, 3600, TEN_YEARS]))
    def clock_jumps(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    @rule(run_id=runs, seconds=st.sampled_from([-TEN_YEARS, TEN_YEARS]))
    def a_time_is_wrong(self, run_id: str, seconds: int) -> None:
        if run_id in self.known:
            os.utime(self.path(run_id), (time.time() + seconds,) * 2)

    @rule(run_id=runs, which=st.integers(0, 9), at=st.integers(0, 10_000), remove=st.booleans())
    def damage(self, run_id: str, which: int, at: int, remove: bool) -> None:
        if not self.stands(run_id, live=False):
            return
        files = sorted(path for path in self.path(run_id).iterdir() if path.stat().st_size)
        if not files:
            return
        victim = files[which % len(files)]
        if remove:
            victim.unlink()
        else:
            content = bytearray(victim.read_bytes())
            content[at % len(content)] ^= 1 << (at % 8)
            victim.write_bytes(content)
        self.known[run_id].damaged = True

    @rule(run_id=runs)
    def mend(self, run_id: str) -> None:
        if self.stands(run_id, live=False):
            try:
                repair(self.path(run_id))
            except UnreadableRecording:
                assert self.known[run_id].damaged

    # What must hold

    @invariant()
    def the_list_is_the_dictionary(self) -> None:
        runs = self.store.runs()
        assert [run.run_id for run in runs] == list(self.known)
        for run in runs:
            assert run.live is (self.known[run.run_id].live is not None) or (
                self.known[run.run_id].damaged
            )

    @invariant()
    def names_lead_where_the_dictionary_says(self) -> None:
        if not self.known:
            with pytest.raises(RunNotFound):
                self.store.find("latest")
            return
        assert self.store.find("latest").run_id == list(self.known)[-1]
        for prefix in "0123":
            named = [run_id for run_id in self.known if run_id.startswith(prefix)]
            if len(named) == 1:
                assert self.store.find(prefix).run_id == named[0]
            else:
                with pytest.raises(AmbiguousRun if named else RunNotFound):
                    self.store.find(prefix)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for run_id, one in self.known.items():
            if one.damaged:
                self.a_damaged_run_is_told(run_id, one)
                continue
            recording = bundle.read(self.path(run_id))
            assert recording.results.events == one.events, run_id
            assert recording.manifest.status.state == one.status
            assert recording.results.complete is (one.status == "passed")

    def a_damaged_run_is_told(self, run_id: str, one: Known) -> None:
        """It is refused, or it says that something is wrong, or the log is whole all the same."""
        try:
            recording = bundle.read(self.path(run_id))
            findings = verify(recording)
        except UnreadableRecording:
            return
        lost = one.events - recording.results.events
        assert not lost or findings or recording.manifest.status.state != "passed"


StoreAndDictionary.TestCase.settings = settings(
    max_examples=examples(30),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTheStoreAgainstADictionary = StoreAndDictionary.TestCase
