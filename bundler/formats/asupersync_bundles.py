"""Find the test bundles in an artifacts directory of asupersync, whichever layout each has.

    1   {test_id}/{seed:016x}/       manifest.json events.ndjson summary.json environment.json …
    2   {scenario}/0x{SEED:X}/       manifest.json
    3   {safe name}/                 repro_manifest.json event_log.txt failed_assertions.json …
    4   {safe name}_summary.json     beside its directory of layout 3, or alone: the test passed

A bundle is known by its content: directories nest (a test id may have slashes), a suite leaves all
four layouts in one tree, and what a test attached may be called like one of the documents. Every
bundle counts as one test; what cannot be read of it is named in its problems.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bundler.archive import Members
from bundler.documents import load_document
from bundler.errors import DamagedRecording, UnreadableRecording
from bundler.probe.writer.file_names import (
    ENVIRONMENT,
    EVENTS,
    FAILED_ASSERTIONS,
    MANIFEST,
    SUMMARY,
)
from bundler.testing.environment import EnvironmentMetadata
from bundler.testing.repro_manifest import SCHEMA_VERSION, ContractError, ReproManifest
from bundler.testing.summary import AssertionRecord, TestSummary

FORMAT = "asupersync"
REPRO_MANIFEST = "repro_manifest.json"
EVENT_LOG = "event_log.txt"
SUMMARY_ENDING = "_summary.json"
DOCUMENTS = frozenset(
    {MANIFEST, REPRO_MANIFEST, EVENTS, SUMMARY, ENVIRONMENT, FAILED_ASSERTIONS, EVENT_LOG}
)

_SIGNS = {
    MANIFEST: (b'"scenario_id"', b'"schema_version"'),
    REPRO_MANIFEST: (b'"scenario_id"', b'"schema_version"'),
    SUMMARY: (b'"test_name"', b'"total_assertions"'),
    FAILED_ASSERTIONS: (b'"phase_path"',),
    EVENTS: (b'"ts_us"',),
    EVENT_LOG: (b"=== Test Event Log",),
}
"""What shows that a document is what its name says, even if it is damaged."""

_PADDED_SEED = re.compile(r"[0-9a-f]{16}")
_PLAIN_SEED = re.compile(r"0x[0-9A-F]{1,16}")
_HEAD = 4096


@dataclass(slots=True)
class TestBundle:
    """One test as it was found: where, what could be read of it, and what is wrong with it.

    `directory` ends with a slash unless it is the root; a lone summary has none of its own.
    `passed` is None where nothing readable says it. `files` are what the test left beside.
    """

    __test__ = False

    directory: str
    layout: int
    names: list[str]
    test_id: str = ""
    seed: int | None = None
    passed: bool | None = None
    manifest: ReproManifest | None = None
    summary: TestSummary | None = None
    summary_name: str | None = None
    failed: tuple[AssertionRecord, ...] = ()
    environment: EnvironmentMetadata | None = None
    problems: list[str] = field(default_factory=list)
    forgotten: bool = False

    def forget(self) -> None:
        """Let go of what its documents say, but for who the test is and whether it passed."""
        self.manifest = self.summary = self.environment = None
        self.failed = ()
        self.forgotten = True

    @property
    def where(self) -> str:
        """What a person would call the place."""
        return self.directory.rstrip("/") or self.summary_name or "."

    def document(self, name: str) -> str | None:
        """The member of that name in the directory, or None."""
        full = f"{self.directory}{name}"
        return full if full in self.names else None

    @property
    def files(self) -> list[str]:
        """The members that are none of the documents of a bundle."""
        documents = {f"{self.directory}{name}" for name in DOCUMENTS} | {self.summary_name}
        return [name for name in self.names if name not in documents]


def is_run_bundle(members: Mapping[str, bytes]) -> bool:
    """Whether this is a run bundle of our own, which has test bundles inside."""
    if MANIFEST not in members:
        return False
    try:
        document = load_document(members[MANIFEST], MANIFEST)
    except UnreadableRecording:
        return False
    return "scenario_id" not in document and {"run_id", "command", "status"} <= document.keys()


def find_bundles(members: Members) -> Iterator[TestBundle]:
    """Yield every test bundle, in the order of their names, before anything in it is read."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in members:
        folders[name[: name.rfind("/") + 1]].append(name)
    homes = {folder for folder in folders if _is_bundle(members, folder, folders[folder])}
    bundles = {folder: TestBundle(folder, _layout(folder, folders[folder]), []) for folder in homes}
    for folder, names in folders.items():
        if (home := _home(folder, homes)) is not None:
            bundles[home].names += names
    found = list(bundles.values())
    for folder in folders.keys() - homes:
        for name in folders[folder]:
            if name.endswith(SUMMARY_ENDING) and _shows(members, name, SUMMARY):
                found += _with_summary(name, bundles, folders)
    yield from sorted(found, key=lambda bundle: bundle.where)


def load(bundle: TestBundle, members: Members) -> None:
    """Read the documents of a bundle, and decide who the test is and whether it passed."""
    bundle.problems.clear()
    bundle.forgotten = False
    _Loader(bundle, members).load()


class _Loader:
    def __init__(self, bundle: TestBundle, members: Members) -> None:
        self.bundle = bundle
        self.members = members
        self.manifest_name = bundle.document(MANIFEST) or bundle.document(REPRO_MANIFEST)

    def load(self) -> None:
        bundle = self.bundle
        summary_name = bundle.summary_name or bundle.document(SUMMARY)
        bundle.manifest = self._document(self.manifest_name, _manifest)
        bundle.summary = self._document(summary_name, TestSummary.from_document)
        environment = bundle.document(ENVIRONMENT)
        bundle.environment = self._document(environment, EnvironmentMetadata.from_document)
        bundle.failed = self._failed_assertions()
        self._contract()
        self._missing()
        bundle.passed = self._verdict()
        bundle.test_id = self._test_id()
        bundle.seed = self._seed()

    def _document(self, name: str | None, convert: Any) -> Any:
        if name is None:
            return None
        try:
            return convert(load_document(self.members[name], name), name)
        except UnreadableRecording as error:
            self.bundle.problems.append(error.message)
            return None

    def _failed_assertions(self) -> tuple[AssertionRecord, ...]:
        """Of the file that has only them, else of the summary."""
        name = self.bundle.document(FAILED_ASSERTIONS)
        if name is not None:
            try:
                wrapped = b'{"all":' + self.members[name] + b"}"  # an array is no document
                rows = load_document(wrapped, name)["all"]
                if not isinstance(rows, list):
                    raise DamagedRecording(f"{name} is not a JSON array")
                return tuple(AssertionRecord.from_document(row, name) for row in rows)
            except UnreadableRecording as error:
                self.bundle.problems.append(error.message)
        summary = self.bundle.summary
        return tuple(one for one in summary.assertions() if not one.passed) if summary else ()

    def _contract(self) -> None:
        if self.bundle.manifest is None:
            return
        try:
            self.bundle.manifest.validate()
        except ContractError as error:
            self.bundle.problems.append(f"{self.manifest_name}: {error.message}")

    def _missing(self) -> None:
        """Name what the bundle must have had: layout 1 is the only one that says so."""
        bundle = self.bundle
        if bundle.layout != 1:
            return
        listed = bundle.manifest.artifact_paths if bundle.manifest else ()
        wanted = {MANIFEST, *listed, *([EVENTS] if bundle.document(SUMMARY) else [])}
        absent = [name for name in sorted(wanted) if bundle.document(name) is None]
        bundle.problems += [f"{bundle.directory}{name} is missing" for name in absent]

    def _verdict(self) -> bool | None:
        """The manifest says it; without one, the summary. A manifest that is there and cannot be
        read might have said that the test failed, so then only a failure is believed."""
        bundle = self.bundle
        said = [one.passed for one in (bundle.manifest, bundle.summary) if one is not None]
        if len(set(said)) > 1:
            words = {True: "passed", False: "failed"}
            self.bundle.problems.append(
                f"{bundle.where}: the manifest says {words[said[0]]}, the summary {words[said[1]]}"
            )
        if False in said:
            return False
        if bundle.manifest is None and self.manifest_name is not None:
            return None
        return True if said else None

    def _test_id(self) -> str:
        bundle = self.bundle
        if bundle.manifest is not None:
            return bundle.manifest.scenario_id
        if bundle.summary is not None:
            context = bundle.summary.context
            return context.test_id if context else bundle.summary.test_name
        if bundle.environment is not None:
            return bundle.environment.test_id
        return ""  # its events may know

    def _seed(self) -> int | None:
        bundle = self.bundle
        named = _seed_in(bundle.directory)
        if bundle.manifest is not None:
            if named is not None and named != bundle.manifest.seed:
                self.bundle.problems.append(
                    f"{self.manifest_name}: seed {bundle.manifest.seed:016x} is not that of its"
                    " directory"
                )
            return bundle.manifest.seed
        if bundle.summary is not None and bundle.summary.context is not None:
            return bundle.summary.context.seed
        return bundle.environment.seed if bundle.environment else named


def _manifest(document: Mapping[str, Any], name: str) -> ReproManifest:
    manifest = ReproManifest.from_document(document, name)
    if manifest.schema_version != SCHEMA_VERSION:
        raise DamagedRecording(
            f"{name} has contract version {manifest.schema_version}, not {SCHEMA_VERSION}"
        )
    return manifest


def name_of_directory(directory: str) -> str:
    """The test id that a directory's name stands for, where nothing inside says it."""
    path = directory.rstrip("/")
    above, _, last = path.rpartition("/")
    return above if above and _seed_in(directory) is not None else path or last


def is_seed(name: str) -> bool:
    """Whether a directory is called like a seed."""
    return (_PADDED_SEED.fullmatch(name) or _PLAIN_SEED.fullmatch(name)) is not None


def _seed_in(directory: str) -> int | None:
    """The seed that the last component of a directory names."""
    last = directory.rstrip("/").rpartition("/")[2]
    return int(last, 16) if is_seed(last) else None


def _is_bundle(members: Members, folder: str, names: list[str]) -> bool:
    documents = [name for name in names if name[len(folder) :] in _SIGNS]
    if documents and _seed_in(folder) is not None:
        return True
    return any(_shows(members, name, name[len(folder) :]) for name in documents)


def _shows(members: Members, name: str, kind: str) -> bool:
    """Whether a member begins as a document of that kind does."""
    try:
        with members.open(name) as file:
            head = file.read(_HEAD)
    except UnreadableRecording:
        return False
    return any(sign in head for sign in _SIGNS[kind])


def _layout(folder: str, names: list[str]) -> int:
    own = {name[len(folder) :] for name in names}
    if not own & {MANIFEST, EVENTS, SUMMARY}:
        return 3
    last = folder.rstrip("/").rpartition("/")[2]
    return 2 if _PLAIN_SEED.fullmatch(last) else 1


def _home(folder: str, homes: set[str]) -> str | None:
    """The bundle that a folder belongs to: itself, or the nearest one above."""
    while folder not in homes:
        if not folder:
            return None
        folder = folder[: folder.rstrip("/").rfind("/") + 1]
    return folder


def _with_summary(
    name: str, bundles: dict[str, TestBundle], folders: Mapping[str, list[str]]
) -> list[TestBundle]:
    """Give a summary to the bundle beside it; without one, it is a bundle by itself."""
    directory = f"{name.removesuffix(SUMMARY_ENDING)}/"
    beside = bundles.get(directory)
    if beside is not None and beside.layout == 3 and beside.summary_name is None:
        beside.summary_name = name
        beside.names.append(name)
        return []
    has_environment = beside is None and f"{directory}{ENVIRONMENT}" in folders.get(directory, ())
    own = [f"{directory}{ENVIRONMENT}"] if has_environment else []
    return [TestBundle(directory if own else "", 4, [*own, name], summary_name=name)]
