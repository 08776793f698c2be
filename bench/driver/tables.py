# SPDX-License-Identifier: MIT
"""What the command prints."""


def print_columns(rows, indent="  "):
    """Rows of cells; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print((indent + "  ".join(cells)).rstrip())


def shown(number, digits=2):
    return "-" if number is None else f"{number:.{digits}f}"


RATIOS = (("wall/glibc", "glibc", "wall_s"), ("wall/bdwgc", "bdwgc", "wall_s"),
          ("CPU/glibc", "glibc", "cpu_s"), ("peak/glibc", "glibc", "peak_kb"))


def workload_rows(session, workload):
    """The table of one workload, a row a backend."""
    rows = [["", "wall s", "min-max", "CPU s", "peak MiB", "longest pause ms",
             "99 % ms", *(name.replace("_", " ") for name in workload.more),
             *(title for title, _, _ in RATIOS)]]
    for name, result in session.results[workload.name].items():
        rows.append([
            name, shown(result.wall_s),
            f"{result.wall_min_s:.2f}-{result.wall_max_s:.2f}",
            shown(result.cpu_s), f"{result.peak_kb / 1024:.0f}",
            shown(result.pause_max_ms), shown(result.get("pause_p99_ms")),
            *(shown(result.get(more)) for more in workload.more),
            *(shown(session.ratio(workload.name, name, other, figure))
              for _, other, figure in RATIOS)])
    return rows


def print_workload(session, workload):
    print(f"\n{workload.title}  [{workload.name}]")
    if workload.name in session.skips:
        print(f"  skipped: {session.skips[workload.name]}")
    elif not session.results[workload.name]:
        print("  no result")
    else:
        print_columns(workload_rows(session, workload))


def micro_rows(session, workloads, backends):
    """The table of single operations: a column a backend that has any."""
    names = [name for name in backends
             if any(session.get(w.name, name) for w in workloads)]
    if not names:
        return None
    others = [other for other in ("glibc", "bdwgc", "mimalloc", "shared_ptr",
                                 "gobject", "cpython")
              if "loam" in names and other in names]
    rows = [["", "unit", *names, *(f"/{other}" for other in others)]]
    for workload in workloads:
        cells = []
        for name in names:
            result = session.get(workload.name, name)
            cells.append("-" if result is None or result.get("value") is None
                         else f"{result.get('value'):.2f} "
                         f"({result.value_min:.2f}-{result.value_max:.2f})")
        if set(cells) == {"-"}:
            continue
        rows.append([
            f"{workload.title}  [{workload.name}]", workload.unit, *cells,
            *(shown(session.ratio(workload.name, "loam", other, "value"))
              for other in others)])
    return rows


MICRO_TITLES = (
    ("micro", "single operations, median (min-max), and Loam's over others'"),
    ("dirty", "longest pause while old pages are dirtied"),
    ("weak", "weak references, finalizers and weak maps"),
    ("minor", "a minor collection"),
    ("pool", "objects that are used again"),
    ("counted", "counted references"),
    ("machine", "how long the machine itself keeps a program waiting"),
    ("track", "the kernel's write tracking, by itself"),
    ("one-core", "the program's threads on one core: wall time"),
)


def print_micros(session, workloads, backends):
    for family, title in MICRO_TITLES:
        of_family = [w for w in workloads if w.family == family]
        rows = micro_rows(session, of_family, backends)
        skips = {session.skips[w.name] for w in of_family
                 if w.name in session.skips}
        if rows or skips:
            print(f"\n{title}  [{family}-...]")
        if rows:
            print_columns(rows)
        for skip in sorted(skips):
            print(f"  skipped: {skip}")
