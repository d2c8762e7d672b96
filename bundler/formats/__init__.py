"""The formats of other tools: one file a format, that reads it, writes it, or both."""

WRITERS = {
    "junit": "bundler.formats.junit",
}
"""Every format that a run can be exported to, and the module that writes it.

A module is imported only when its format is asked for. It has `write(recording, target)`, where
`target` is a binary file, and where the format has dialects: `DIALECTS`, the default first, and the
keyword `dialect`.
"""
