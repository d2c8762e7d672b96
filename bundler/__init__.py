"""The black-box recorder for test runs: record, replay, rerun, export."""

__version__ = "0.1.0"
