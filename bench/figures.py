"""What the scripts of bench/ share: the figures of millrace-bench, which way is better, medians, tables."""
import json
import os
import platform
import statistics
import subprocess

# Figures that are compared; nested ones with a dot. True: more is better.
FIGURES = {
    "tasks_per_s": True, "runs_per_s": True, "acknowledged_per_s": True, "capacity_runs_per_s": True,
    "p50_ms": False, "p95_ms": False, "p99_ms": False, "p999_ms": False, "per_hop_ms": False, "total_s": False,
    "cpu_us_per_task.coordinator": False, "cpu_us_per_task.workers": False, "cpu_us_per_task.redis": False,
    "cpu_us_per_task.client": False, "rss_mb.coordinator": False, "rss_mb.workers": False, "rss_mb.redis": False,
    "redis_bytes_per_task": False,
}


class BenchFailed(Exception):
    """millrace-bench said no; what it said."""


def figure(report, name):
    """A number of a report by its dotted name; None where it is absent or null."""
    for part in name.split("."):
        report = report.get(part) if isinstance(report, dict) else None
    return report if isinstance(report, (int, float)) and not isinstance(report, bool) else None


def spread(report, name):
    """(least, most) over the repeats."""
    low, high = report.get("spread", {}).get(name, (None, None))
    return low, high


def run_bench(program, arguments):
    """One run of millrace-bench as an object."""
    done = subprocess.run([program, *map(str, arguments), "-o", "json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchFailed(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr.strip()[-3000:]}")
    return json.loads(done.stdout)


def worse_by(name, old, new):
    """How many times worse `new` is than `old`: above 1 is worse, whichever way the figure counts. None: no ratio."""
    if old is None or new is None or old <= 0 or new <= 0:
        return None
    return old / new if FIGURES[name] else new / old


def number(value):
    """Short, without losing what matters: three significant digits, thousands with commas."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def text_table(rows):
    """Rows of equally many cells as aligned text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                     .rstrip() for row in rows)


def markdown_table(rows):
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def machine():
    """Where the figures come from, in one line."""
    model = "unknown processor"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout.split()
    version = next((word[2:] for word in redis if word.startswith("v=")), "?")
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{model}, {os.cpu_count()} cores, Linux {kernel}, Redis {version}"


def revision(root):
    """The commit of a work tree, with a + where something is not committed."""
    git = ["git", "-C", root]
    name = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout
    return (name or "unknown") + ("+" if changed.strip() else "")


def median(values):
    return statistics.median(values) if values else None
