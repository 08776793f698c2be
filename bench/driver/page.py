# SPDX-License-Identifier: MIT
"""docs/performance.md, written from results."""

from .pictures import name_of, write_pictures
from .profile import profile_rows
from .tables import micro_rows, shown
from .targets import target_rows

HEAD = """# Performance

How quick a program on Loam is, how much memory it holds and how long it stands
still, beside the same program on malloc and free (glibc, mimalloc), on the
Boehm-Demers-Weiser collector (bdwgc), in Go, and in Java with four of its
collectors. Every program computes the same answer on all of them.

`./dev bench --page` wrote this page and its pictures from the run below; they
are not edited. [What is measured, and how to read it](../bench/README.md).

"""

SECTIONS = {
    "wall": ("Throughput",
             "From the start of the process to its end, over glibc's. The line "
             "is glibc itself; a bar that is broken is longer than it is drawn."),
    "pauses": ("Pauses",
               "The longest time in which the program stood still, by how much "
               "was alive: the runtime's own figure for Loam, Go and Java, and "
               "for bdwgc the time from its first stop signal until all threads "
               "run again."),
    "closed-loop": ("Latency", "Closed loop: the next operation comes when the "
                    "one before is done."),
    "open-loop": (None, "Open loop: operations come at their times, and each is "
                  "counted from the time it was due. This is what a client "
                  "sees."),
    "peak": ("Memory", "The most that was resident, over glibc's. For ZGC, "
             "which maps its heap three times, each page is counted once."),
    "minor": ("What the mechanisms cost", "A minor collection looks at the old "
              "pages that were written since the one before."),
    "dirty": (None, "Pages that are written while a collection marks are "
              "looked at again in its last pause."),
}

KERNEL_TABLES = (
    ("track", "What the kernel's write tracking costs by itself:"),
    ("machine", "How long the machine itself keeps a program waiting, which no "
     "pause can be expected to be shorter than:"),
)


ONE_CORE = """
Where a program's threads keep all processors busy, marking beside it takes time
from it. Seconds of processor time, by samples: the program's own code, the
kernel for it (memory touched for the first time, pages written for the first
time after a collection, locks), malloc and free or Loam's allocation with
sweeping, and what the program's threads do in stops and to help; then the
collector's threads: marking, their other work, and the kernel for them.

"""

ONE_CORE_WALL = """
The same with the program's threads on one processor and the other for the
collector: wall time in seconds, Loam's over glibc's there and on all processors,
Loam's longest pause, and where it was measured the slowest operation in a
thousand, over glibc's there and on all processors:

"""


def markdown_table(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def figures_table(session, workloads):
    """Wall seconds and longest pause in ms of each workload and backend."""
    names = [name for name in dict.fromkeys(
        name for w in workloads for name in session.results[w.name])]
    rows = [["", *(name_of(name) for name in names)]]
    for workload in workloads:
        cells = []
        for name in names:
            wall = session.figure(workload.name, name, "wall_s")
            pause = session.figure(workload.name, name, "pause_max_ms")
            cell = shown(wall)
            if pause is not None:
                cell += f"<br>{shown(pause)}"
            cells.append(cell)
        if set(cells) != {"-"}:
            rows.append([workload.title, *cells])
    return markdown_table(rows)


def one_core_rows(session, workloads):
    """Wall seconds on one core, and Loam's over glibc's there and with all."""
    names = ("glibc", "bdwgc", "loam")
    rows = [["", *(name_of(name) for name in names), "Loam / glibc", "on all",
             "longest pause, ms", "99.9 % / glibc", "on all"]]
    for workload in workloads:
        of_all = workload.name.removeprefix("one-core-")
        if session.get(workload.name, "loam"):
            rows.append([
                workload.title,
                *(shown(session.figure(workload.name, name, "value"))
                  for name in names),
                shown(session.ratio(workload.name, "loam", "glibc", "value")),
                shown(session.ratio(of_all, "loam", "glibc", "wall_s")),
                shown(session.figure(workload.name, "loam", "pause_max_ms")),
                shown(session.ratio(workload.name, "loam", "glibc",
                                    "p999_us")),
                shown(session.ratio(of_all, "loam", "glibc", "p999_us"))])
    return rows if len(rows) > 1 else None


def processor_parts(session, workloads):
    """The section on what the processors do."""
    parts = []
    rows = profile_rows(session,
                        [w for w in workloads if w.family == "profile"])
    if rows:
        rows = [[row[0], name_of(row[1]), *row[2:]] for row in rows]
        parts += ["\n## What two processors do\n", ONE_CORE,
                  markdown_table(rows)]
    rows = one_core_rows(session,
                         [w for w in workloads if w.family == "one-core"])
    if rows:
        parts += [ONE_CORE_WALL, markdown_table(rows)]
    return parts


def runs_text(counts):
    most = max(counts)
    if most == 1:
        return "one run each"
    least = min(counts)
    runs = f"{most}" if least == most else f"{least} to {most}"
    return f"medians of {runs} runs, and the longest pause of all"


def origin_text(origin):
    return (f"Measured on {' and '.join(origin['machine'])}, "
            f"on {', '.join(origin['day'])}, at commit "
            f"{', '.join(f'`{each}`' for each in origin['commit'])}; "
            f"{runs_text(origin['runs'])}.\n")


def write_page(root, session, workloads, origin):
    """Writes docs/performance.md and docs/pictures."""
    parts = [HEAD, origin_text(origin)]
    for name, alt in write_pictures(root / "docs" / "pictures", session,
                                    workloads):
        title, text = SECTIONS[name]
        if title:
            parts.append(f"\n## {title}\n")
        parts.append(f"\n{text}\n\n![{alt}](pictures/{name}.svg)\n")
    parts += processor_parts(session, workloads)
    for family, text in KERNEL_TABLES:
        rows = micro_rows(session, [w for w in workloads
                                    if w.family == family], ["kernel"])
        if rows:
            parts.append(f"\n{text}\n\n")
            parts.append(markdown_table([row[:3] for row in rows]))
    whole = [w for w in workloads if w.unit is None]
    parts.append("\n## The figures\n\nWall time in seconds, and below it the "
                 "longest pause in milliseconds.\n\n")
    parts.append(figures_table(session, whole))
    parts.append("\n## What we set out to reach\n\n")
    parts.append(markdown_table(
        [row for row in target_rows(session) if row[3] != "not measured"]))
    path = root / "docs" / "performance.md"
    path.write_text("".join(parts))
    return path
