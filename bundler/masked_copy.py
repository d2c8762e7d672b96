"""A recording without its secrets, as a sealed bundle of its own: `bundle pack --redact`.

The log is masked first, and everything that is derived from a log is derived anew, so the copy is
as consistent as any bundle: digests, counts, the bundles of its tests. Files keep their names, but
the bundles of tests whose id held a secret move to where the masked id has them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from bundler import __version__, adoption, atomic, bundle, sealing, test_bundles
from bundler.manifest import Redaction, RunManifest, encode_document, parse_manifest, to_document
from bundler.masked_files import mask_files, mask_names
from bundler.masked_log import masked_lines
from bundler.recording import Recording
from bundler.redaction import Masker, redact_argv


def write_masked_copy(recording: Recording, directory: Path, masker: Masker) -> RunManifest:
    """Write a recording without its secrets into an empty directory, sealed.

    Raises OSError, and what reading the members raises.
    """
    own = recording.manifest.source is None or bundle.MANIFEST in recording.files
    manifest = _masked_manifest(recording, masker)
    with (directory / bundle.LOG).open("xb") as log:
        log.writelines(masked_lines(recording.log, masker))
    masked = Recording(manifest, {}, bundle.plain_log(directory / bundle.LOG), {}, str(directory))
    moved = _moved(recording, masked) if own else {}
    for name in recording.files:
        if name in bundle.DERIVED or (own and test_bundles.is_derived(name)):
            continue
        folder = "/".join(name.split("/")[:3])
        kept = moved.get(folder, folder) + name[len(folder) :]
        adoption.keep(recording.files, name, directory / (kept if own else f"source/{kept}"))
    counts = Counter(name=mask_names(directory, masker, bundle.DERIVED))
    counts += mask_files(directory, masker, bundle.DERIVED)
    if any(map(test_bundles.is_derived, recording.files)):
        test_bundles.write(directory, masked)
    before = manifest.redaction or Redaction()
    for rule, times in before.masked_in_files.items():
        counts[rule] += times
    redaction = msgspec.structs.replace(before, on=True, masked_in_files=dict(counts))
    manifest = msgspec.structs.replace(manifest, redaction=redaction)
    atomic.write(directory / bundle.MANIFEST, encode_document(to_document(manifest)))
    return sealing.seal(directory, manifest)


def _masked_manifest(recording: Recording, masker: Masker) -> RunManifest:
    command = recording.manifest.command
    manifest = msgspec.structs.replace(
        recording.manifest,
        command=msgspec.structs.replace(command, argv=redact_argv(command.argv)),
        source={**(recording.manifest.source or {}), "redacted_by": f"seedbundle {__version__}"},
        members=[],
    )
    document = masker.value(to_document(manifest, recording.document))
    return parse_manifest(encode_document(document))[0]


def _moved(recording: Recording, masked: Recording) -> dict[str, str]:
    """Where the bundle of a test lay, and where it belongs under the id that it has now."""
    pairs = zip(recording.results.tests, masked.results.tests, strict=False)
    return {
        test_bundles.folder(before.test_id, before.seed): test_bundles.folder(
            after.test_id, after.seed
        )
        for before, after in pairs
        if before.seed is not None and after.seed is not None
    }
