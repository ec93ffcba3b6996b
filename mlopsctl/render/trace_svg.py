"""A trace as one SVG file: boxes by rank, readable on light and dark pages, without scripts, links or fonts of its own."""

from __future__ import annotations

from html import escape
from unicodedata import east_asian_width

from .layout import place
from .text import printable
from .trace_graph import Arrow, Box, Graph

_LINE, _CHAR, _PAD, _MARGIN = 17, 7.25, 14, 20

_STYLE = """\
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#24292f}
.page{fill:#fff}.box{fill:#f6f8fa;stroke:#d0d7de}.missing{stroke-dasharray:5 4}
.title{font-weight:700;font-size:13px}.quiet{fill:#57606a}
.arrow{fill:none;stroke:#57606a;stroke-width:1.4}.head{fill:#57606a}
.label{fill:#57606a;font-size:11px;stroke:#fff;stroke-width:4px;paint-order:stroke}
.data{fill:#2a78c2}.train{fill:#8a5fbf}.gates{fill:#3d8b40}.targets{fill:#b4690e}.deployments{fill:#178a8a}
.bad{fill:#c0392b}.good{fill:#2e7d32}.unsure{fill:#9a6700}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.box{fill:#161b22;stroke:#30363d}.quiet,.label{fill:#9da7b3}
.arrow{stroke:#9da7b3}.head{fill:#9da7b3}.label{stroke:#0d1117}
.data{fill:#5aa2e0}.train{fill:#b08ce0}.gates{fill:#6cbf70}.targets{fill:#e0a04d}.deployments{fill:#4fc3c3}
.bad{fill:#f0766a}.good{fill:#7ccf80}.unsure{fill:#d9a63d}}
"""
_HEAD = (
    '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)
_STATUS = {
    **dict.fromkeys(("passed", "current", "serving"), "good"),
    **dict.fromkeys(("failed", "blocked", "down"), "bad"),
    **dict.fromkeys(("inconclusive", "not_assessed", "outdated", "absent", "halted"), "unsure"),
}


def svg(found: Graph, title: str) -> list[str]:
    """The lines of the file."""
    sizes = {box.id: _size(box) for box in found.boxes}
    placed = place(sizes, [(arrow.source, arrow.target) for arrow in found.arrows])
    width, height = round(placed.width + 2 * _MARGIN), round(placed.height + 2 * _MARGIN)
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" role="img">',
        f"<title>{_safe(title)}</title>",
        f"<style>{_STYLE}</style>",
        _HEAD,
        f'<rect class="page" {size}/>',
        f'<g transform="translate({_MARGIN} {_MARGIN})">',
    ]
    for points in placed.arrows:
        lines.append(f'<path class="arrow" d="{_curve(points)}" marker-end="url(#to)"/>')
    for box in found.boxes:
        lines += _drawn(box, placed.boxes[box.id], sizes[box.id])
    for arrow, points in zip(found.arrows, placed.arrows, strict=True):
        lines.append(_label(arrow, points))
    return [*lines, "</g>", "</svg>"]


def _size(box: Box) -> tuple[float, float]:
    head = f"{box.title}   {box.status}"
    return max(_wide(text) for text in (head + "  ", *box.lines)) * _CHAR + 2 * _PAD, _LINE * (len(box.lines) + 1) + 18


def _wide(text: str) -> int:
    """Columns that a text takes in a font of fixed width."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _drawn(box: Box, corner: tuple[float, float], size: tuple[float, float]) -> list[str]:
    (x, y), (width, height) = corner, size
    style = box.kind if box.kind in ("data", "train", "gates", "targets", "deployments") else "bad"
    dashes = " missing" if box.kind == "missing" else ""
    rect = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6"'
    lines = [
        f'<rect class="box{dashes}" {rect}/>',
        f'<rect class="{style}" x="{x:.1f}" y="{y + 6:.1f}" width="4" height="{height - 12:.1f}" rx="2"/>',
        f'<text class="title" x="{x + _PAD:.1f}" y="{y + 21:.1f}">{_safe(box.title)}</text>',
    ]
    if box.status:
        lines.append(
            f'<text class="{_STATUS.get(box.status, "quiet")}" x="{x + width - _PAD:.1f}" y="{y + 21:.1f}"'
            f' text-anchor="end">{_safe(box.status)}</text>'
        )
    for number, line in enumerate(box.lines, 1):
        quiet = ' class="quiet"' if number >= len(box.lines) - 1 else ""
        lines.append(f'<text{quiet} x="{x + _PAD:.1f}" y="{y + 21 + _LINE * number:.1f}">{_safe(line)}</text>')
    return lines


def _curve(points: tuple[tuple[float, float], ...]) -> str:
    """Leaves downwards and arrives downwards, straight beside the boxes of a rank that it passes."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for number in range(1, len(points)):
        (x, y), (to_x, to_y) = points[number - 1], points[number]
        bend = (to_y - y) / 2
        text += f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
    return text


def _label(arrow: Arrow, points: tuple[tuple[float, float], ...]) -> str:
    (x, y), (to_x, to_y) = points[-2], points[-1]
    at_x, at_y = x + (to_x - x) * 0.72, y + (to_y - y) * 0.62 + 4
    return f'<text class="label" x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="middle">{_safe(arrow.label)}</text>'


def _safe(text: str) -> str:
    return escape(printable(text))
