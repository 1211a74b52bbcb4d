"""Make the README's pictures from a run of the ad exchange: python docs/pictures/make.py [FOLDER]

Without a folder they go where this file is. It needs Graphviz (`dot`) on the path.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from cano_sync import Workflow  # noqa: E402
from cano_sync.demo.exchange import ad_exchange, hold_auction  # noqa: E402
from cano_sync.demo.options import read_options  # noqa: E402
from cano_sync.demo.records import Records  # noqa: E402
from cano_sync.demo.report import Report  # noqa: E402
from cano_sync.demo.services import SERVICES  # noqa: E402
from cano_sync.diagram import to_dot  # noqa: E402
from cano_sync.observe import Recorder, Status  # noqa: E402
from cano_sync.observe.recording.rows import Row, rows_of  # noqa: E402
from cano_sync.observe.recording.text import duration_text, tick_text, ticks  # noqa: E402


def run() -> tuple[Workflow[Any], Report]:
    """Hold an auction, as the example does; and its machine."""
    report = hold_auction(read_options([], program="make.py"))
    with TemporaryDirectory() as folder, Records(Path(folder)) as records:
        return ad_exchange(dict.fromkeys(SERVICES, ""), records), report


# The timeline: names, a chart, durations and remarks, in columns that no font can shift.

LEFT, CHART, WIDTH, LINE, TOP = 150, 465, 1000, 21, 34
STYLE = """
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1c2330; }
.paper { fill: #fff; stroke: #e3e7ee; } .state { font-weight: bold; } .end { text-anchor: end; }
.soft { fill: #5b6575; } .grid { stroke: #e3e7ee; stroke-dasharray: 3 3; }
.bar-state { fill: #3b5b92; } .bar-succeeded, .bar-exit { fill: #1a7f4b; }
.bar-cancelled { fill: url(#hatch); } .bar-late { fill: #8b36a8; }
#hatch path { stroke: #96650a; stroke-width: 4; } .cancelled { fill: #96650a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e9f0; } .paper { fill: #12161d; stroke: #2a313d; } .soft { fill: #9aa5b5; }
  .grid { stroke: #2a313d; } .bar-state { fill: #7ea2dd; }
  .bar-succeeded, .bar-exit { fill: #4cc38a; } .bar-late { fill: #d291ee; }
  #hatch path { stroke: #e3b341; } .cancelled { fill: #e3b341; }
}
"""


def timeline(report: Report) -> str:
    record = report.recorder.record
    rows = list(rows_of(record, note=report.note))
    height = TOP + LINE * len(rows) + 14
    scale = CHART / record.duration
    body: list[str] = []
    for moment in ticks(record.duration, 6):
        x = LEFT + moment * scale
        body.append(f'<path class="grid" d="M{x:.1f} {TOP - 8}V{height - 8}"/>')
        body.append(f'<text class="soft" x="{x + 4:.1f}" y="{TOP - 12}">{tick_text(moment)}</text>')
    for number, row in enumerate(rows):
        body += _row(row, TOP + LINE * number, scale)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Timeline of an ad auction" width="{WIDTH}" height="{height}">\n'
        f"<style>{STYLE}</style>\n"
        '<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(25)"><path d="M2 0V7"/></pattern>\n'
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _row(row: Row, y: int, scale: float) -> Iterator[str]:
    kind = "branch" if row.is_branch else "state"
    x = 30 if row.is_branch else 14
    yield f'<text class="{kind}" x="{x}" y="{y + 14}">{escape(row.name)}</text>'
    for piece in row.pieces:
        look = piece.look.value
        left, width = LEFT + piece.began * scale, (piece.ended - piece.began) * scale
        thick = 13 if kind == "state" else 8
        look = "state" if kind == "state" and look == "succeeded" else look
        yield (
            f'<rect class="bar-{look}" x="{left:.1f}" y="{y + 10 - thick / 2}" rx="2" '
            f'width="{max(2.5, width):.1f}" height="{thick}"/>'
        )
    right = LEFT + CHART + 84
    if row.duration is not None:
        yield f'<text class="end" x="{right}" y="{y + 14}">{duration_text(row.duration)}</text>'
    status = "" if row.status is None or row.status is Status.SUCCEEDED else row.status.label
    told = " ".join(filter(None, (status, row.note)))
    colour = "cancelled" if status else "soft"
    yield f'<text class="{colour}" x="{right + 18}" y="{y + 14}">{escape(told)}</text>'


def diagram(workflow: Workflow[Any], recorder: Recorder) -> str:
    dot = to_dot(workflow, recorder)
    drawn = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True)
    # Without what names the program's version and an address that nobody asks.
    return re.sub(r"<\?xml.*?<svg", "<svg", re.sub("<!--.*?-->\n*", "", drawn.stdout), flags=re.S)


if __name__ == "__main__":
    workflow, report = run()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    (folder / "timeline.svg").write_text(timeline(report), encoding="utf-8")
    (folder / "diagram.svg").write_text(diagram(workflow, report.recorder), encoding="utf-8")
