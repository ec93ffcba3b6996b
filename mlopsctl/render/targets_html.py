"""The targets of a model as one page that needs nothing else: no script, no font, no address. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from .targets import HEAD, Row, cells, figures, made_with, model_metric, worth_a_column
from .text import one_line

_STYLE = """
:root { color-scheme: light dark; --ground: #fafaf8; --sheet: #fff; --ink: #1d2126; --soft: #5a636e; --line: #d5d9de;
  --good: #1b6e3c; --half: #8a5a00; --bad: #a8201a; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --sheet: #1c2024; --ink: #e6e9ec; --soft: #a3adb8;
  --line: #373e46; --good: #7fd6a0; --half: #efc15f; --bad: #ff9d94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: .5rem 0 0; font-size: 1.5rem; } h2 { margin: 0 0 .5rem; font-size: 1.1rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; color: var(--soft); }
.scroll { overflow-x: auto; background: var(--sheet); border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th, td { white-space: nowrap; } td.long { white-space: normal; min-width: 14rem; }
thead th { font-size: .9rem; color: var(--soft); }
tbody tr:last-child > * { border-bottom: 0; }
.scroll + p { margin: .5rem 0 1rem; font-size: .9rem; }
section { margin-top: 1rem; padding: 1rem; background: var(--sheet); border: 1px solid var(--line); border-radius: .5rem; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) minmax(0, 1fr); gap: .25rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.passed, .device-run { color: var(--good); } .not_assessed, .compiled, .emitted, .inconclusive { color: var(--half); }
.failed { color: var(--bad); } .emulated { color: var(--good); }
@media (max-width: 40rem) { dl { grid-template-columns: minmax(0, 1fr); } dd { margin-bottom: .5rem; } }
@media print { body { max-width: none; background: none; } section { break-inside: avoid; } }
""".strip()

_PROOFS = (
    "emitted: written, not built or run. compiled: built by its tools, not run. emulated: run under an emulator or a"
    " bit-accurate simulator. device-run: run on the device itself. What ran was compared with the model on every row."
)


def page(title: str, rows: Sequence[Row], note: str = "") -> str:
    """The table of all targets, and beneath it everything that is known of each. Words of others act nowhere in it."""
    allowed = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    told = [cells(row) for row in rows]
    kept = worth_a_column(told)
    head = "".join(f'<th scope="col">{HEAD[place]}</th>' for place in kept)
    body = "\n".join(_line(row, cell, kept) for row, cell in zip(rows, told, strict=True))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{allowed}'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>{_text(title)}</h1>
<p>{_text(note)}</p>
<main>
<div class="scroll" role="region" aria-label="All targets" tabindex="0">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
<p>{_PROOFS}</p>
{"".join(_section(row) for row in rows)}
</main>
</body>
</html>
"""


def _text(words: object) -> str:
    return escape(one_line(str(words)))


def _line(row: Row, cell: Sequence[str], kept: Sequence[int]) -> str:
    return "<tr>" + "".join(_cell(HEAD[place], cell[place], row) for place in kept) + "</tr>"


def _cell(name: str, words: str, row: Row) -> str:
    if name == "target":
        return f'<th scope="row">{_text(words)}</th>'
    kind = (
        str(row["proof"] or "") if name == "proof" else "long" if name in ("speed", "room") and len(words) > 24 else ""
    )
    return f'<td class="{_text(kind)}">{_text(words)}</td>' if kind else f"<td>{_text(words)}</td>"


def _section(row: Row) -> str:
    verdict = row["verdict"]
    found = [
        ("state", row["state"]),
        ("verdict", f"{verdict['status'].replace('_', ' ')}: {verdict['text']}" if verdict else ""),
        ("runtime", row["runtime"]),
        ("compared on", f"{row['rows']} rows of the view {row['view']}" if row["rows"] and row["view"] else ""),
        ("the model's metric", model_metric(row)),
        ("speed", figures(row, "speed")),
        ("room", figures(row, "room")),
        ("other figures", figures(row, "other")),
        ("tools", made_with(row)),
        ("artifact", row["digest"]),
        ("entry", (row["signed"] or {}).get("entry")),
        ("signed at", (row["signed"] or {}).get("at")),
    ]
    status = verdict["status"] if verdict else ""
    lines = "".join(
        f"<dt>{name}</dt><dd{f' class={status}' if name == 'verdict' else ''}>{_text(value)}</dd>\n"
        for name, value in found
        if value
    )
    return f"<section>\n<h2>{_text(row['target'])}</h2>\n<dl>\n{lines}</dl>\n</section>\n"
