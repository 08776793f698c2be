# SPDX-License-Identifier: MIT
"""Pictures of results, as SVG: bars, and lines over logarithmic axes.

Each picture is drawn on a white ground of its own, so that it can be read on
pages that are dark. Loam is green and drawn last; the others keep their
colours in all pictures.
"""

import math
from xml.sax.saxutils import escape

from .catalog import DIRTY_RATES, DIRTY_SHARES, PAUSE_SIZES_MIB

COLOURS = {
    "glibc": "#8c8c8c",
    "mimalloc": "#b8b8b8",
    "bdwgc": "#4d4d4d",
    "go": "#2a7fb8",
    "java-g1": "#e08214",
    "java-parallel": "#fdb863",
    "java-zgc": "#b35806",
    "java-shenandoah": "#c994c7",
    "kernel": "#4d4d4d",
    "loam": "#1b8a4c",
}
NAMES = {
    "java-g1": "Java G1",
    "java-parallel": "Java Parallel",
    "java-zgc": "Java ZGC",
    "java-shenandoah": "Java Shenandoah",
    "go": "Go",
    "loam": "Loam",
}


def name_of(backend):
    return NAMES.get(backend, backend)


def number_text(value):
    """Three digits, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Drawing:
    """The elements of one picture."""

    def __init__(self, width, height, title):
        self.width = width
        self.height = height
        self.title = title
        self.parts = []
        self.rect(0, 0, width, height, "#ffffff", radius=6)
        self.text(20, 30, title, size=16, weight="bold")

    def rect(self, x, y, width, height, fill, radius=0):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="{radius}" fill="{fill}"/>')

    def line(self, x1, y1, x2, y2, stroke="#dddddd", width=1):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{stroke}" stroke-width="{width}"/>')

    def path(self, points, stroke, width):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{stroke}" '
            f'stroke-width="{width}" stroke-linejoin="round"/>')
        for x, y in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" '
                              f'r="{width + 1}" fill="{stroke}"/>')

    def text(self, x, y, text, size=12, anchor="start", fill="#222222",
             weight="normal"):
        # The white rim keeps it readable where it crosses a line.
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" '
            f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}" '
            'stroke="#ffffff" stroke-width="3" paint-order="stroke">'
            f"{escape(text)}</text>")

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" '
            f'height="{self.height}" viewBox="0 0 {self.width} {self.height}" '
            'role="img" font-family="system-ui, Helvetica, Arial, sans-serif">'
            f"\n<title>{escape(self.title)}</title>\n" +
            "\n".join(self.parts) + "\n</svg>\n")


# ---- Bars -------------------------------------------------------------------

PANEL_WIDTH = 330
BAR_HEIGHT = 17
BARS_LEFT = 120  # where bars begin in a panel, after the names
BARS_ROOM = 150


def draw_panel(drawing, x, y, title, bars):
    """One workload: a bar a backend. A bar of more than four is cut off; its
    number stands."""
    drawing.text(x, y, title, size=13, weight="bold")
    longest = min(max(value for _, value in bars), 4.0)
    of_one = x + BARS_LEFT + BARS_ROOM / longest
    drawing.line(of_one, y + 9, of_one, y + 11 + len(bars) * BAR_HEIGHT,
                 "#222222")
    for i, (backend, value) in enumerate(bars):
        top = y + 10 + i * BAR_HEIGHT
        is_ours = backend == "loam"
        drawing.text(x + BARS_LEFT - 6, top + 12, name_of(backend), size=11,
                     anchor="end", weight="bold" if is_ours else "normal")
        width = max(1, min(value, longest) / longest * BARS_ROOM)
        drawing.rect(x + BARS_LEFT, top + 2, width, BAR_HEIGHT - 4,
                     COLOURS[backend])
        if value > longest:
            drawing.line(x + BARS_LEFT + width - 12, top + BAR_HEIGHT,
                         x + BARS_LEFT + width - 6, top, "#ffffff", 3)
        drawing.text(x + BARS_LEFT + width + 5, top + 12, f"{value:.2f}",
                     size=11, weight="bold" if is_ours else "normal")


def bars_picture(session, workloads, figure, title, say):
    """Panels of one figure over glibc's, for each workload that glibc ran;
    `say` tells glibc's own figure in words. None where there is nothing."""
    panels = []
    for workload in workloads:
        base = session.figure(workload.name, "glibc", figure)
        bars = [(name, result.get(figure) / base)
                for name, result in session.results[workload.name].items()
                if base and result.get(figure)]
        if len(bars) > 1:
            panels.append((f"{workload.name} (glibc: {say(base)})", bars))
    if not panels:
        return None
    tallest = max(len(bars) for _, bars in panels)
    panel_height = tallest * BAR_HEIGHT + 46
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    drawing = Drawing(20 + columns * PANEL_WIDTH, 52 + rows * panel_height,
                      title)
    for i, (name, bars) in enumerate(panels):
        draw_panel(drawing, 20 + i % columns * PANEL_WIDTH,
                   66 + i // columns * panel_height, name, bars)
    return drawing.svg()


# ---- Lines ------------------------------------------------------------------

PLOT = {"left": 80, "top": 62, "width": 620, "height": 330, "right": 150,
        "bottom": 60}


def decades(low, high):
    """The powers of ten that hold both."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(high) - 1e-9))
    return [10.0 ** power for power in range(first, last + 1)]


def spread_apart(labels, distance, bottom):
    """Moves labels, (y, ...) from the top, so that none covers another."""
    labels = sorted(labels)
    placed = []
    for y, *rest in labels:
        if placed and y < placed[-1][0] + distance:
            y = placed[-1][0] + distance
        placed.append([y, *rest])
    below = placed[-1][0] - bottom if placed else 0
    if below > 0:
        limit = bottom
        for label in reversed(placed):
            label[0] = min(label[0], limit)
            limit = label[0] - distance
    return placed


def lines_picture(title, x_title, y_title, ticks, series):
    """Lines of (index of a tick, value above 0) for each backend. The ticks
    stand at equal distances, values on a logarithmic axis."""
    series = {name: points for name, points in series.items() if points}
    values = [value for points in series.values() for _, value in points]
    if not values:
        return None
    left, top, width, height = (PLOT[name] for name in
                                ("left", "top", "width", "height"))
    drawing = Drawing(left + width + PLOT["right"],
                      top + height + PLOT["bottom"], title)
    marks = decades(min(values), max(values))

    def x_of(i):
        return left + 20 + i * (width - 40) / max(1, len(ticks) - 1)

    def y_of(value):
        share = math.log(value / marks[0]) / math.log(marks[-1] / marks[0])
        return top + height * (1 - share)

    for mark in marks:
        drawing.line(left, y_of(mark), left + width, y_of(mark))
        drawing.text(left - 8, y_of(mark) + 4, number_text(mark), anchor="end")
    for i, tick in enumerate(ticks):
        drawing.line(x_of(i), top + height, x_of(i), top + height + 5,
                     "#888888")
        drawing.text(x_of(i), top + height + 20, tick, anchor="middle")
    drawing.text(left + width / 2, top + height + 44, x_title, anchor="middle")
    drawing.text(20, top - 12, y_title)
    labels = []
    for name, points in series.items():
        places = [(x_of(i), y_of(value)) for i, value in points]
        drawing.path(places, COLOURS[name], 3 if name == "loam" else 1.5)
        labels.append((places[-1][1], name))
    for y, name in spread_apart(labels, 15, top + height):
        drawing.text(left + width + 8, y + 4, name_of(name),
                     fill=COLOURS[name],
                     weight="bold" if name == "loam" else "normal")
    return drawing.svg()


def series_of(session, workloads, figure):
    """For each backend its (index of the workload, figure)."""
    series = {}
    for i, name in enumerate(workloads):
        for backend, result in session.results.get(name, {}).items():
            value = result.get(figure)
            if value:
                series.setdefault(backend, []).append((i, value))
    return series


def pauses_picture(session):
    sizes = [mib for mib in PAUSE_SIZES_MIB
             if session.results.get(f"pause-{mib}")]
    return lines_picture(
        "Longest pause by live heap: LRU cache service, 2 threads",
        "live heap", "longest pause, ms (logarithmic)",
        [f"{mib} MiB" if mib < 1024 else f"{mib >> 10} GiB" for mib in sizes],
        series_of(session, [f"pause-{mib}" for mib in sizes], "pause_max_ms"))


PERCENTILES = (("50 %", "p50_us"), ("99 %", "p99_us"), ("99.9 %", "p999_us"),
               ("99.99 %", "p9999_us"), ("longest", "max_us"))


def latency_picture(session, workload, title):
    series = {}
    for backend, result in session.results.get(workload, {}).items():
        points = [(i, result.get(name))
                  for i, (_, name) in enumerate(PERCENTILES)]
        if all(value for _, value in points):
            series[backend] = points
    return lines_picture(title, "share of operations that took no longer",
                         "latency of an operation, us (logarithmic)",
                         [text for text, _ in PERCENTILES], series)


def dirty_picture(session):
    return lines_picture(
        "Longest pause while an old heap of 1 GiB is written to",
        "pages dirtied a second", "longest pause, ms (logarithmic)",
        [f"{rate:,}" for rate in DIRTY_RATES],
        series_of(session, [f"dirty-{rate}" for rate in DIRTY_RATES], "value"))


def minor_picture(session):
    return lines_picture(
        "A minor collection beside an old heap of 512 MiB",
        "share of the old heap's pages dirtied since the one before",
        "time, ms (logarithmic)", [f"{share / 10:g} %" for share in DIRTY_SHARES],
        series_of(session, [f"minor-{share}" for share in DIRTY_SHARES],
                  "value"))


def all_pictures(session, workloads):
    """Name, text for those who do not see it, and SVG of each picture that
    has anything to show."""
    compared = [w for w in workloads
                if w.unit is None and not w.collectors_only]
    timed = [w for w in compared if w.name != "open-loop"]
    drawn = [
        ("wall", "wall time of every workload on every backend",
         bars_picture(session, timed, "wall_s",
                      "Wall time over glibc's malloc and free (less is better)",
                      lambda s: f"{s:.2f} s")),
        ("pauses", "longest pause against live heap",
         pauses_picture(session)),
        ("closed-loop", "latency of operations in a closed loop",
         latency_picture(session, "lru", "Latency of the LRU cache service, "
                         "250 MiB live, closed loop")),
        ("open-loop", "latency of operations in an open loop",
         latency_picture(session, "open-loop", "Latency of the LRU cache "
                         "service, 100,000 operations a second and thread")),
        ("peak", "peak resident memory of every workload on every backend",
         bars_picture(session, compared, "peak_kb",
                      "Peak resident memory over glibc's (less is better)",
                      lambda kb: f"{kb / 1024:.0f} MiB")),
        ("minor", "time of a minor collection against dirty pages",
         minor_picture(session)),
        ("dirty", "longest pause against pages dirtied a second",
         dirty_picture(session)),
    ]
    return [(name, alt, svg) for name, alt, svg in drawn if svg]


def write_pictures(folder, session, workloads):
    """Writes the pictures and returns (name, text) of each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, alt, svg in all_pictures(session, workloads):
        (folder / f"{name}.svg").write_text(svg)
        written.append((name, alt))
    return written
