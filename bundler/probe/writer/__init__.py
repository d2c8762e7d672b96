"""Writes the bundle of one test, while it runs: standard library only, any Python since 3.9.

`bundler.testing` is built on it. The probe takes it along into environments that have never heard
of bundler, so nothing here imports anything of `bundler` but what lies beside it, by relative
imports.

    format_version.py    the version of the format
    system.py            the system as it was before a test could patch it
    masking.py           what masks secrets, given from outside
    json_text.py         documents as text
    event_line.py        one event as a line
    event_file.py        the file that lines are appended to
    event_log.py         the log of one test
    file_names.py        what its files are called
    whole_file.py        a document, whole or not at all
    bundle_directory.py  its directory
    phases.py            its phases, as a tree
    documents.py         what its documents say
    harness.py           all of it: what a test is given
    fixture.py           the same as a test of pytest is given it
    bridges.py           `logging` and structlog
    media_types.py       what an ending says
"""
