"""A rerun says which tests run and in which order; the probe obeys or refuses loudly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from probe_driver import PYTHON, Ran, Workshop, unmet

SOURCE = """
def test_a(): pass
def test_b(): pass
def test_c(): pass
def test_d(): pass
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A place with four tests in it."""
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": SOURCE})
    return shop


def ids(names: str) -> list[str]:
    """The ids of the tests named by single letters."""
    return [f"test_it.py::test_{name}" for name in names]


def run(shop: Workshop, *args: str, **selection: Any) -> Ran:
    """Run with a selection."""
    file = shop.place / "selection.json"
    file.write_text(
        json.dumps({"version": 1, "deselect": [], "only": None, "order": None, **selection})
    )
    return shop.probed(*args, selection=str(file))


def started(ran: Ran) -> list[str | None]:
    """The ids of the tests in the order of their start."""
    return [event.test_id for _, event in ran.events if event.event == "TestStarted"]


def left_out(ran: Ran) -> list[tuple[str, list[str]]]:
    """What was deselected, with the reason."""
    return [(d["reason"], d["deselected"]) for d in ran.named("TestsCollected") if "reason" in d]


def test_what_is_passing_is_left_out(shop: Workshop) -> None:
    ran = run(shop, "-W", "error", deselect=ids("bd"))
    assert started(ran) == ids("ac")
    assert left_out(ran) == [("passing", ids("bd"))]
    assert "4 items / 2 deselected / 2 selected" in ran.stdout


def test_what_was_never_seen_runs(shop: Workshop) -> None:
    ran = run(shop, deselect=[*ids("abc"), "test_gone.py::test_gone"])
    assert started(ran) == ids("d")


def test_only_keeps_exactly_those_and_calls_nothing_passing(shop: Workshop) -> None:
    ran = run(shop, deselect=ids("b"), only=ids("bc"))
    assert started(ran) == ids("bc")
    assert left_out(ran) == [("deselected", ids("ad"))]


def test_the_order_is_that_of_the_list_and_the_rest_follows_as_collected(shop: Workshop) -> None:
    assert started(run(shop, order=ids("db"))) == ids("dbac")


def test_the_users_own_deselection_keeps_its_own_reason(shop: Workshop) -> None:
    ran = run(shop, "-k", "not test_a", deselect=ids("b"))
    assert started(ran) == ids("cd")
    assert left_out(ran) == [("deselected", ids("a")), ("passing", ids("b"))]


def test_it_has_the_last_word_over_other_plugins(shop: Workshop) -> None:
    shop.lay({
        "test_it.py": SOURCE,
        "conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
        "def pytest_collection_modifyitems(items):\n    yield\n    items.reverse()\n",
    })  # fmt: skip
    assert started(run(shop, order=ids("acbd"))) == ids("acbd")


def test_nothing_left_is_no_tests(shop: Workshop) -> None:
    ran = run(shop, deselect=ids("abcd"))
    assert ran.exit_code == 5
    assert started(ran) == []


def test_ids_that_look_like_something_else_are_only_matched(shop: Workshop) -> None:
    ran = run(shop, deselect=["-pevil", "@file", "../x", "--basetemp=/", "test_it.py"])
    assert started(ran) == ids("abcd")


def test_an_id_too_long_for_a_line_is_matched_as_it_was_recorded(shop: Workshop) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', [1, 2], ids=['x' * 20000, 'y'])\n"
    shop.lay({"test_it.py": source + "def test_long(n): pass\n"})
    (long, short) = started(run(shop))
    assert started(run(shop, deselect=[long])) == [short]


@pytest.mark.skipif(unmet(("xdist",)) != [], reason=f"{PYTHON} has no xdist")
def test_every_worker_obeys_and_one_of_them_records_it(shop: Workshop) -> None:
    ran = run(shop, "-n2", deselect=ids("c"), order=ids("dba"))
    assert ran.exit_code == 0
    assert sorted(map(str, started(ran))) == ids("abd")
    assert left_out(ran) == [("passing", ids("c"))]
    (selected,) = (d["selected"] for d in ran.named("TestsCollected") if "selected" in d)
    assert selected == ids("dba")


def test_it_is_obeyed_where_nothing_can_be_recorded(shop: Workshop) -> None:
    file = shop.place / "selection.json"
    file.write_text(json.dumps({"version": 1, "deselect": ids("abc"), "only": None, "order": None}))
    ran = shop.probed("-v", log=Path("/dev/full"), selection=str(file))
    assert "1 passed, 3 deselected" in ran.stdout


@pytest.mark.parametrize(
    "content",
    [
        None,
        "not json",
        "[]",
        '{"version":2,"deselect":[]}',
        '{"version":1,"deselect":"test_it.py::test_a"}',
        '{"version":1,"deselect":[],"only":[1]}',
    ],
)
def test_a_selection_that_cannot_be_read_is_a_usage_error(
    shop: Workshop, content: str | None
) -> None:
    file = shop.place / "selection.json"
    if content is not None:
        file.write_text(content)
    ran = shop.probed(selection=str(file))
    assert ran.exit_code == 4
    assert "bundle: the selection of this rerun cannot be read" in ran.stderr
    assert started(ran) == []


@pytest.mark.skipif(unmet(("xdist",)) != [], reason=f"{PYTHON} has no xdist")
def test_with_workers_it_is_a_usage_error_too(shop: Workshop) -> None:
    ran = shop.probed("-n2", selection=str(shop.place / "nowhere.json"))
    assert ran.exit_code == 4
    assert "bundle: the selection of this rerun cannot be read" in ran.stderr
