"""The media type of a file by the ending of its name, without asking the system."""

from __future__ import annotations

_BY_ENDING = {
    "trace": "application/x-asupersync-trace",
    "ndjson": "application/x-ndjson",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "xml": "application/xml",
    "html": "text/html",
    "txt": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gz": "application/gzip",
    "har": "application/json",
}


def media_type_of(name: str) -> str:
    """Return the media type of a file; `application/octet-stream` where the ending says nothing."""
    return _BY_ENDING.get(name.rpartition(".")[2].lower(), "application/octet-stream")
