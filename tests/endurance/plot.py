#!/usr/bin/env python3
"""A picture of target/endurance.csv, as SVG: memory, file descriptors and deletes of a gateway over time, with its faults.

    tests/endurance/plot.py target/endurance.csv > docs/images/endurance.svg

Lines are fitted to what was seen after warming up, while nothing befell the gateway: as tests/endurance.rs judges it.
"""
import csv, sys
from html import escape

WIDTH, LEFT, RIGHT, TALL, GAP, TOP = 700, 76, 676, 112, 46, 92
WARM_UP = 300
STYLE = """
  .back { fill: #ffffff; stroke: #d8dee4 } .grid { stroke: #e4e8ec } .fault { fill: #bf8700; opacity: 0.16 } .warm { fill: #8c959f; opacity: 0.1 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: #1f2328 }
  .head { font-size: 17px; font-weight: 600 } .mode { font-weight: 600 } .faint { fill: #59636e } .small { font-size: 11.5px }
  .end { text-anchor: end; font-variant-numeric: tabular-nums } .middle { text-anchor: middle }
  .seen { fill: none; stroke: #0969da; stroke-width: 1.5; stroke-linejoin: round } .fit { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117; stroke: #30363d } .grid { stroke: #21262d } text { fill: #e6edf3 } .faint { fill: #9198a1 }
    .fault { fill: #d29922 } .seen { stroke: #58a6ff } .fit { stroke: #ff7b72 }
  }
"""


def fit(points):
    """Slope a second and mean, by least squares, and the middle of time."""
    n = len(points)
    x, y = sum(p[0] for p in points) / n, sum(p[1] for p in points) / n
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points), y, x


def text(x, y, said, *classes):
    return f'<text x="{x:g}" y="{y:g}" class="{" ".join(classes)}">{escape(said)}</text>'


def faults(rows):
    """From when to when something befell it."""
    out = []
    for row, after in zip(rows, rows[1:] + rows[-1:]):
        if row["fault"]:
            if out and out[-1][1] == row["seconds"]:
                out[-1][1] = after["seconds"]
            else:
                out.append([row["seconds"], after["seconds"]])
    return out


def chart(top, title, unit, points, at, most, line):
    height = lambda v: top + TALL - v / most * TALL
    body = [f'<text x="24" y="{top - 10}"><tspan class="mode">{escape(title)}</tspan><tspan class="faint" dx="8">{escape(unit)}</tspan></text>']
    for part in (0, 0.5, 1):
        body += [f'<line x1="{LEFT}" x2="{RIGHT}" y1="{height(most * part):.1f}" y2="{height(most * part):.1f}" class="grid"/>',
                 text(LEFT - 8, height(most * part) + 4, f"{most * part:g}", "end", "faint", "small")]
    path = " ".join(f"{at(x):.1f},{height(y):.1f}" for x, y in points)
    body.append(f'<polyline points="{path}" class="seen"/>')
    if line:
        (slope, mean, middle), (a, b) = line
        body.append(f'<line x1="{at(a):.1f}" y1="{height(mean + slope * (a - middle)):.1f}" x2="{at(b):.1f}" y2="{height(mean + slope * (b - middle)):.1f}" class="fit"/>')
    return body


def picture(rows):
    end = rows[-1]["seconds"]
    warm = WARM_UP
    at = lambda s: LEFT + s / end * (RIGHT - LEFT)
    quiet = [r for r in rows if r["seconds"] > warm and not r["fault"]]
    memory, files = fit([(r["seconds"], r["rss_kib"] / 1024) for r in quiet]), fit([(r["seconds"], r["files"]) for r in quiet])
    step = 10
    rate = [((a["seconds"] + b["seconds"]) / 2, (b["deletes"] - a["deletes"]) / (b["seconds"] - a["seconds"])) for a, b in zip(rows[::step], rows[step::step])]
    charts = [("Memory", f"MiB resident; {memory[1]:.1f} on average, slope {memory[0] * 3600:+.2f} an hour", [(r["seconds"], r["rss_kib"] / 1024) for r in rows], (memory, (warm, end))),
              ("File descriptors", f"{files[1]:.0f} on average, slope {files[0] * 3600:+.1f} an hour", [(r["seconds"], r["files"]) for r in rows], (files, (warm, end))),
              ("Deletes a second", f"{rows[-1]['deletes']:,} in all", rate, None)]
    bottom = TOP + len(charts) * (TALL + GAP) - GAP + 12
    body = [text(24, 34, "A gateway under load, with faults", "head"),
            text(24, 54, "Yellow: a fault of the network. Grey: warming up. Red: what is fitted to the rest.", "faint")]
    for number in range(len(charts)):
        top = TOP + number * (TALL + GAP)
        body.append(f'<rect x="{LEFT}" y="{top}" width="{at(warm) - LEFT:.1f}" height="{TALL}" class="warm"/>')
        body += [f'<rect x="{at(a):.1f}" y="{top}" width="{at(b) - at(a):.1f}" height="{TALL}" class="fault"/>' for a, b in faults(rows)]
    for number, (title, unit, points, line) in enumerate(charts):
        most = max(y for _, y in points)
        nice = next(m * 10 ** e for e in range(7) for m in (1, 1.5, 2, 3, 4, 5, 6, 8) if m * 10 ** e >= most)
        body += chart(TOP + number * (TALL + GAP), title, unit, points, at, nice, line)
    minutes = end / 60
    apart = next(m for m in (1, 2, 5, 10, 15, 30, 60) if minutes / m <= 10)
    for minute in range(0, int(minutes) + 1, apart):
        body.append(text(at(minute * 60), bottom + 6, f"{minute} min", "middle", "faint", "small"))
    height = bottom + 24
    said = f"memory slope {memory[0] * 3600:+.2f} MiB an hour, file descriptors {files[0] * 3600:+.1f} an hour, {rows[-1]['deletes']} deletes"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">',
                      '<title id="title">Memory, file descriptors and deletes of a gateway over time</title>', f'<desc id="desc">{escape(said)}</desc>',
                      f"<style>{STYLE}</style>", f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="back"/>', *body, "</svg>"])


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with open(sys.argv[1]) as f:
        rows = [{k: v if k == "fault" else float(v) for k, v in row.items()} for row in csv.DictReader(f)]
    for row in rows:
        row["deletes"] = int(row["deletes"])
    print(picture(rows))


if __name__ == "__main__":
    main()
