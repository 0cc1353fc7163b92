#!/usr/bin/env python3
"""A picture of results.json, as SVG: CPU a delete as a multiple of nginx's, by peer and mode.

    benches/peers/plot.py benches/peers/results/results.json > docs/images/peers.svg

Of run.sh, or of slices.py --out. Each peer has a dot at the median of the rounds and a line from the least to the most of them, or with
--quartiles from the lower to the upper quartile. The axis is logarithmic, so that half as much and twice as much are as far
from nginx. The gateway is what --ours names.
"""
import argparse, json, math, statistics, sys
from html import escape
sys.dont_write_bytecode = True
from report import against

TITLES = {
    "w1": ("One worker", "a core of its own, saturated"),
    "log": ("Access log on", "one worker"),
    "audit": ("Journal on", "beside nginx with its access log"),
    "tls": ("TLS in and out", "HTTP/1.1, one worker"),
    "tlsh2": ("TLS in and out", "HTTP/2 in, HTTP/1.1 out, one worker"),
    "w2": ("Two workers", "sharing two cores with load and upstream"),
}
NAMES = {"haproxy": "HAProxy", "envoy": "Envoy", "caddy": "Caddy"}
WIDTH, LEFT, RIGHT, ROW, GAP, TOP = 700, 138, 474, 22, 38, 84
STYLE = """
  .back { fill: #ffffff; stroke: #d8dee4 } .grid { stroke: #e4e8ec } .one { stroke: #8c959f; stroke-dasharray: 3 3 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: #1f2328 }
  .head { font-size: 17px; font-weight: 600 } .mode, .ours { font-weight: 600 } .faint { fill: #59636e } .small { font-size: 11.5px }
  .end { text-anchor: end; font-variant-numeric: tabular-nums } .middle { text-anchor: middle }
  .range { stroke: #8c959f; stroke-width: 2; stroke-linecap: round } .dot { fill: #59636e }
  .range.ours { stroke: #54a3d8; stroke-width: 3 } .dot.ours { fill: #0969da } text.ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117; stroke: #30363d } .grid { stroke: #21262d } .one { stroke: #6e7681 }
    text { fill: #e6edf3 } .faint { fill: #9198a1 } .range { stroke: #6e7681 } .dot { fill: #9198a1 }
    .range.ours { stroke: #2f6db5 } .dot.ours { fill: #58a6ff } text.ours { fill: #58a6ff }
  }
"""


def sections(runs):
    """Of each mode: its name, and of each peer (name, multiples of nginx's by round, CPU by round)."""
    out = []
    for mode in TITLES:
        of = [r for r in runs if r["mode"] == mode and r["cpu_us_per_req"] is not None]
        rows = [(p, against(of, mode, p, "nginx", "cpu_us_per_req", lambda mine, its: mine / its), [r["cpu_us_per_req"] for r in of if r["peer"] == p])
                for p in dict.fromkeys(r["peer"] for r in of)]
        rows = [row for row in rows if row[1]]
        if len(rows) > 1:
            out.append((mode, rows))
    return out


def ends(x, quartiles):
    """Where the line of a peer begins and ends."""
    if quartiles and len(x) > 1:
        low, _, high = statistics.quantiles(x, n=4, method="inclusive")
        return low, high
    return min(x), max(x)


def text(x, y, said, *classes):
    return f'<text x="{x:g}" y="{y:g}" class="{" ".join(classes)}">{escape(said)}</text>'


def axis(parts, quartiles):
    """From a multiple of nginx's to a place, and the ticks between the least and the most of all."""
    all_times = [t for _, rows in parts for _, times, _ in rows for t in ends(times, quartiles)]
    low, high = math.floor(math.log2(min(all_times)) * 2) / 2, math.ceil(math.log2(max(all_times)) * 2) / 2
    low, high = min(low, -0.5), max(high, 0.5)
    at = lambda t: LEFT + (math.log2(t) - low) / (high - low) * (RIGHT - LEFT)
    fine = high - low <= 2.5  # octaves: where all are near each other, more ticks
    ticks = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4] if fine else [0.25, 0.5, 1, 2, 4, 8, 16, 32]
    return at, [t for t in ticks if low <= math.log2(t) <= high]


def row(y, at, name, times, cpu, ours, quartiles):
    kind = ["ours"] if name == ours else []
    say = f"{statistics.median(times):.2f}×" if name != "nginx" else "1"
    (low, high), (least, most) = ends(times, quartiles), ends(cpu, quartiles)
    span = f"{statistics.median(cpu):.0f} ({least:.0f}–{most:.0f})" if len(cpu) > 1 else f"{cpu[0]:.0f}"
    classes = " ".join(kind)
    return [text(LEFT - 14, y + 4, NAMES.get(name, name), "end", *kind),
            f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{y}" y2="{y}" class="range {classes}"/>',
            f'<circle cx="{at(statistics.median(times)):.1f}" cy="{y}" r="{5 if kind else 4}" class="dot {classes}"/>',
            text(RIGHT + 72, y + 4, say, "end", *kind), text(WIDTH - 24, y + 4, span, "end", *(kind or ["faint"]))]


def picture(res, ours, quartiles):
    parts = sections(res["runs"])
    at, ticks = axis(parts, quartiles)
    height = TOP + sum(GAP + ROW * len(rows) for _, rows in parts) + 82
    bottom = height - 82
    body = [text(24, 34, "CPU a delete, as a multiple of nginx's in the same round", "head"),
            text(24, 54, f"Less is better. Dot: median of {res['rounds']} rounds; line: {'quartiles' if quartiles else 'least to most'}. Logarithmic.", "faint"),
            text(RIGHT + 72, 76, "× nginx", "end", "faint", "small"), text(WIDTH - 24, 76, "µs (quartiles)" if quartiles else "µs (least–most)", "end", "faint", "small")]
    for t in ticks:
        body += [text(at(t), 76, f"{t:g}", "middle", "faint", "small"), text(at(t), bottom + 16, f"{t:g}", "middle", "faint", "small")]
    y = TOP
    for mode, rows in parts:
        title, more = TITLES[mode]
        body.append(f'<text x="24" y="{y + 22}"><tspan class="mode">{escape(title)}</tspan><tspan class="faint" dx="8">{escape(more)}</tspan></text>')
        y += GAP
        # not through the titles
        body += [f'<line x1="{at(t):.1f}" x2="{at(t):.1f}" y1="{y - 10}" y2="{y + ROW * len(rows) - 11}" class="{"one" if t == 1 else "grid"}"/>' for t in ticks]
        for name, times, cpu in rows:
            body += row(y, at, name, times, cpu, ours, quartiles)
            y += ROW
    peers = {name for _, rows in parts for name, _, _ in rows}
    versions = ", ".join(f"{NAMES.get(name, name)} {v}" for name, v in res["versions"].items() if name in peers)
    machine = f"{res['machine']['cores']} cores of {res['machine']['cpu']}, {res['when'][:10]}, {res['secs']} s a round. User and system time of all of a proxy's processes."
    body += [text(24, height - 34, versions, "faint", "small"), text(24, height - 16, machine, "faint", "small")]
    said = "; ".join(f"{TITLES[mode][0]}, {TITLES[mode][1]}: " + ", ".join(f"{name} {statistics.median(times):.2f}" for name, times, _ in rows) for mode, rows in parts)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">',
                      "<title id=\"title\">CPU a delete as a multiple of nginx's, by peer and mode</title>", f'<desc id="desc">{escape(said)}</desc>',
                      f"<style>{STYLE}</style>", f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="back"/>', *body, "</svg>"])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("results")
    ap.add_argument("--ours", default="smh-gateway")
    ap.add_argument("--quartiles", action="store_true")
    a = ap.parse_args()
    with open(a.results) as f:
        res = json.load(f)
    wrong = [f"{r['peer']} {r['mode']}: {e}" for r in res["runs"] for e in r["errors"]]
    if wrong:
        raise SystemExit(f"FAIL: {a.results} is of a run that is not valid: {wrong[0]}")
    if not sections(res["runs"]):
        raise SystemExit(f"FAIL: {a.results} has no mode with nginx and another peer")
    print(picture(res, a.ours, a.quartiles))


if __name__ == "__main__":
    main()
