"""The page: whole in itself, harmless whatever names say, and read by mouse, keys and voice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cano_sync import ConfigurationError, JoinConfig, JoinStrategy
from cano_sync.observe import Attempt, Fate, JoinRecord, Record
from cano_sync.observe.recording.page import page
from tests.browser import Browser, needs_browser
from tests.records import exit_visit, record, span, split_visit, visit

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onfocus=alert(3) x='"
TRIALS = (
    Attempt(number=1, began=0.0, duration=0.1, fate=Fate.FAILED, error=ValueError("no"), delay=0.2),
    Attempt(number=2, began=0.3, duration=0.2, fate=Fate.SUCCEEDED),
)
RUN = record(
    visit("START", took=0.1, spans=(span("begin", None, took=0.1),)),
    split_visit(
        span("swift", 0, took=0.5, attempts=TRIALS, value={"bid": 3}),
        span(NASTY, 1, took=0.2, fate=Fate.FAILED, error=ValueError(NASTY)),
        span("late", 2, took=0.4, fate=Fate.CANCELLED, reason=NASTY, late=0.2),
        span("deaf", 3, took=0.4, fate=Fate.ABANDONED),
        span("idle", 4, began=None, took=0.0, fate=Fate.NOT_STARTED),
        state=NASTY,
        took=0.6,
    ),
    exit_visit("DONE"),
    took=1.0,
    started_at=1_800_000_000.0,
)


class Rows(HTMLParser):
    """What a reader of the page finds in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if "row" in (dict(attrs).get("class") or "").split():
            self.rows.append(dict(attrs))


# As text.


def test_it_asks_no_address_for_anything() -> None:
    html = page(RUN)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    assert "default-src 'none'" in html


def test_no_name_becomes_markup() -> None:
    found = Rows(page(RUN, title=NASTY))
    assert "img" not in found.tags
    assert not {name for name in found.attributes if name.startswith("on")}
    assert page(RUN, title=NASTY).count("<script>") == 1


def test_each_row_can_be_reached_by_keys_and_says_all_in_words() -> None:
    rows = Rows(page(RUN)).rows
    assert len(rows) == 8
    assert all(row["tabindex"] == "0" and row["role"] == "listitem" for row in rows)
    assert all(row["title"] == row["aria-label"] for row in rows)
    spoken = rows[2]["title"] or ""
    for words in (
        "swift",
        "took: 500 ms",
        "attempt 1: failed after 100 ms: ValueError: no",
        "the next 200 ms later",
        "attempt 2: succeeded",
        "value: {'bid': 3}",
    ):
        assert words in spoken


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (0, "task: begin"),
        (1, "split of: 5 branches"),
        (1, "joined by: JoinStrategy.ALL"),
        (1, "verdict: proceed, after 600 ms"),
        (3, "error: ValueError: </script>"),
        (4, "came back: 200 ms later"),
        (5, "thread: is not back yet"),
        (6, "became: not started"),
        (7, "kind: exit state"),
    ],
)
def test_details_tell_what_the_bar_cannot(row: int, words: str) -> None:
    assert words in (Rows(page(RUN)).rows[row]["title"] or "")


def test_its_heading_says_what_came_of_the_run_unless_it_is_given_one() -> None:
    assert "<title>Ended in DONE after 1.00 s</title>" in page(RUN)
    assert "<h1>Cancelled in A after 1.00 s</h1>" in page(record(visit("A"), fate=Fate.CANCELLED))
    with pytest.raises(ConfigurationError, match=r"title=\.\.\.\) is text, not 7"):
        page(RUN, title=7)  # type: ignore[arg-type]
    assert "<h1>A &lt;title&gt;</h1>" in page(RUN, title="A <title>")
    assert "2027-01-15 08:00:00.000 UTC" in page(RUN)


def test_a_failed_run_says_why() -> None:
    run = record(visit(fate=Fate.FAILED), fate=Fate.FAILED, error=ValueError("<why>"), forgotten=7)
    assert "ValueError: &lt;why&gt;" in page(run)
    assert "The first 7 events were dropped" in page(run)
    one = record(visit(fate=Fate.FAILED), forgotten=1)
    assert "The first event was dropped" in page(one)


def test_a_cancelled_run_says_why() -> None:
    assert "⊘ enough" in page(record(visit(), fate=Fate.CANCELLED, reason="enough"))


def test_a_single_task_is_told_with_its_error_and_a_split_with_its_limits() -> None:
    error = ValueError("why")
    failed = span("work", None, fate=Fate.FAILED, error=error)
    run = record(visit(spans=(failed,), fate=Fate.FAILED, error=error, next_state="MEND"))
    (row,) = Rows(page(run)).rows
    assert "task: work" in (row["title"] or "")
    assert (row["title"] or "").count("error: ValueError: why") == 1
    config: JoinConfig[str] = JoinConfig(JoinStrategy.ALL, "NEXT", timeout=2, bulkhead=3)
    join = JoinRecord(config=config, timed_out=True)
    (row,) = Rows(page(record(visit(join=join)))).rows
    assert "time limit: 2.00 s, was up" in (row["title"] or "")
    assert "at once: 3 at most" in (row["title"] or "")


def test_a_great_run_makes_a_page_of_bounded_size() -> None:
    spans = [span(f"branch {index}", index) for index in range(20_000)]
    visits = [visit(f"state {number}", began=number) for number in range(5_000)]
    html = page(record(split_visit(*spans), *visits))
    assert len(html) < 1_500_000
    assert "more succeeded" in html
    assert "more visits" in html


# In a browser.


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def show(browser: Browser, folder: Path, run: Record = RUN, width: int = 1200) -> Browser:
    browser.resize(width)
    file = folder / "run.html"
    file.write_text(page(run), encoding="utf-8")
    browser.open(file)
    return browser


CENTER = "(r => [r.left + 20, r.top + r.height / 2])(rows[{}].getBoundingClientRect())"


@needs_browser
def test_the_mouse_brings_details_and_takes_them_away(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    assert browser.run("tip.hidden")
    browser.move_mouse(*browser.run(CENTER.format(2)))
    assert "attempt 2\nsucceeded after 200 ms" in browser.run("tip.innerText")
    browser.move_mouse(*browser.run(CENTER.format(3)))
    assert "ValueError: </script><script>alert(1)" in browser.run("tip.innerText")
    browser.move_mouse(1, 1)
    assert browser.run("tip.hidden")
    assert browser.errors == []


@needs_browser
def test_so_do_the_keys(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    browser.press("Tab")  # the button
    browser.press("Tab")
    assert browser.run("document.activeElement === rows[0] && !tip.hidden")
    assert browser.run("rows[0].getAttribute('aria-describedby')") == "tip"
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert browser.run("tip.innerText").startswith("swift")
    browser.press("End")
    assert browser.run("tip.innerText").startswith("DONE")
    browser.press("Escape")
    assert browser.run("tip.hidden")
    browser.press("Home")
    assert browser.run("tip.innerText").startswith("START")
    assert browser.errors == []


@needs_browser
def test_details_stay_within_the_window_and_off_their_row(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    inside = browser.run(
        """rows.map((row, number) => {
          focusOn(row);
          const tipped = tip.getBoundingClientRect(), at = row.getBoundingClientRect();
          return !tip.hidden && tipped.left >= 0 && tipped.right <= innerWidth
            && tipped.top >= 0 && tipped.bottom <= innerHeight
            && (tipped.top >= at.bottom || tipped.bottom <= at.top);
        })"""
    )
    assert inside == [True] * 8


@needs_browser
def test_bars_lie_within_their_track_and_are_wide_enough_to_be_seen(
    browser: Browser, tmp_path: Path
) -> None:
    show(browser, tmp_path)
    bars = browser.run(
        """[...document.querySelectorAll("b:not(.exit)")].map(bar => {
          const is = bar.getBoundingClientRect(), track = bar.parentNode.getBoundingClientRect();
          return is.width >= 3 && is.left >= track.left - 1 && is.right <= track.right + 4;
        })"""
    )
    assert len(bars) >= 8
    assert all(bars)


WIDTHS = (360, 500, 700, 1200, 1600)


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("took", [1.0, 1.52, 0.157, 95.0, 40_000.0])
def test_labels_of_the_axis_stand_apart_at_their_lines(
    browser: Browser, tmp_path: Path, width: int, took: float
) -> None:
    show(browser, tmp_path, record(visit("STATE", took=took), took=took), width)
    labels = browser.run(
        """[...document.querySelectorAll(".axis .track span")].map(label => {
          const is = label.getBoundingClientRect();
          return [label.style.left, is.left, is.right];
        }).filter(([, left, right]) => right > left)"""
    )
    lines = browser.run(
        """Object.fromEntries([...document.querySelectorAll(".grid i")].map(line =>
          [line.style.left, line.getBoundingClientRect().left]))"""
    )
    assert len(labels) >= 2
    assert all(before[2] <= after[1] for before, after in pairwise(labels))
    assert all(abs(left - lines[at]) <= 2 for at, left, _ in labels)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


@needs_browser
def test_remarks_take_the_room_that_names_do_not_need(browser: Browser, tmp_path: Path) -> None:
    text = "the file broken1.jpg begins with b'PK'"
    bad = span("import", 0, fate=Fate.FAILED, error=ValueError(text))
    show(browser, tmp_path, record(split_visit(bad)))
    shown = "(fate => fate.scrollWidth <= fate.clientWidth)(rows[1].querySelector('.fate'))"
    assert browser.run(shown)
    assert browser.run("rows[0].querySelector('.track').clientWidth") > 400


@needs_browser
def test_the_branches_can_be_hidden(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    seen = "rows.filter(row => row.offsetParent !== null).length"
    assert browser.run(seen) == 8
    browser.run("document.querySelector('button').click()")
    assert browser.run(seen) == 3
    assert browser.run("document.querySelector('button').getAttribute('aria-pressed')") == "true"


@needs_browser
def test_it_is_dark_where_the_reader_wants_that(browser: Browser, tmp_path: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    show(browser, tmp_path)
    browser.prefer("light")
    assert browser.run(paper) == "rgb(255, 255, 255)"
    browser.prefer("dark")
    assert browser.run(paper) == "rgb(18, 22, 29)"
    browser.prefer("light")


@needs_browser
def test_no_script_but_its_own_would_run(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    smuggled = "<script>window.smuggled = true</script></body>"
    file.write_text(page(RUN).replace("</body>", smuggled), encoding="utf-8")
    browser.open(file)
    assert browser.run("typeof window.smuggled") == "undefined"
    assert any("Content Security Policy" in error for error in browser.errors)


@needs_browser
def test_a_page_of_no_run_shows_without_errors(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, Record())
    assert "No run yet" in browser.run("document.body.innerText")
    assert browser.errors == []
