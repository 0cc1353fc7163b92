"""The tables, made from the runs."""
import json, os, statistics
from check import CHECKS
from process import CORES

def med(rows, key, f="{:.0f}", rng=True, scale=1):
    x = [r[key] * scale for r in rows if r.get(key) is not None]
    if not x:
        return "-"
    s = f.format(statistics.median(x))
    return s + (f" ({f.format(min(x))}–{f.format(max(x))})" if rng and len(x) > 1 else "")


def ratio(R, mode, p, ref="nginx"):
    """CPU per request as a multiple of ref's in the same round, so that the machine's drift cancels."""
    by = {r["round"]: r["cpu_us_per_req"] for r in R if r["peer"] == ref and r["mode"] == mode}
    x = [r["cpu_us_per_req"] / by[r["round"]] for r in R if r["peer"] == p and r["mode"] == mode and r["round"] in by]
    return f"{statistics.median(x):.2f} ({min(x):.2f}–{max(x):.2f})" if x else "-"


def report(res, a):
    R, out = res["runs"], []
    peers = list(dict.fromkeys(r["peer"] for r in R))
    g = lambda p, m: [r for r in R if r["peer"] == p and r["mode"] == m]
    P = out.append
    P("# Results\n")
    P(f"{res['machine']['cpu']}, {res['machine']['cores']} cores, kernel {res['machine']['kernel']}; " + ", ".join(f"{k} {v}" for k, v in res["versions"].items()) + ".")
    P(f"{res['rounds']} interleaved rounds of {res['secs']} s, {res['conns']} connections; median (min–max). "
      f"Other work on the machine took at most {max([r.get('foreign_cores', 0) for r in R] or [0]):.2f} cores and steal at most {max([r.get('steal', 0) for r in R] or [0]):.1%} in the runs kept; "
      f"{res['noise']['discarded']} disturbed runs were repeated, {sum(bool(r.get('noisy')) for r in R)} kept all the same.\n")
    if res.get("checks"):
        P("## Correctness (with a logging upstream)\n")
        P("| peer | " + " | ".join(CHECKS) + " |")
        P("|---|" + "---|" * len(CHECKS))
        for p, c in res["checks"].items():
            P(f"| {p} | " + " | ".join(c.get(n, "-") for n in CHECKS) + " |")
        P("")
    if any(r["mode"] == "w1" for r in R):
        P("## 1 worker: proxy alone on core 0, upstream and load generator on core 1\n")
        P("| peer | CPU µs/request | CPU as a multiple of nginx's, same round | requests/s | proxy's share of its core | load core busy | is rps the proxy's own limit? | p50 / p99 µs at saturation |")
        P("|---|---|---|---|---|---|---|---|")
        for p in peers:
            x = g(p, "w1")
            if not x:
                continue
            if p == "direct":
                b = statistics.median(r["core_busy"][CORES[-1]] for r in x)
                P(f"| direct | - | - | {med(x, 'rps')} | - | {b:.0%} | no proxy: the ceiling of the load core | {med(x, 'p50_us', rng=False)} / {med(x, 'p99_us', rng=False)} |")
                continue
            u, b = statistics.median(r["proxy_cores"] for r in x), statistics.median(r["core_busy"][CORES[-1]] for r in x)
            P(f"| {p} | {med(x, 'cpu_us_per_req', '{:.1f}')} | {ratio(R, 'w1', p)} | {med(x, 'rps')} | {u:.0%} | {b:.0%} | {'yes' if u >= 0.95 else 'NO: a lower bound'} | {med(x, 'p50_us', rng=False)} / {med(x, 'p99_us', rng=False)} |")
        P("")
    cpu = lambda x, rng=True: med(x, "cpu_us_per_req", "{:.1f}", rng)
    for mode, title, heads, cells in (
            ("w2", "2 workers, nothing pinned: proxy, upstream and load generator share both cores\n\n"
             "Requests/s here is the whole box's, not the proxy's; CPU per request is the proxy's own.",
             ["CPU µs/request", "requests/s of the whole box", "cores the proxy used"],
             lambda x: [cpu(x), med(x, "rps"), med(x, "proxy_cores", "{:.2f}", rng=False)]),
            ("log", "1 worker as above, access log on", ["CPU µs/request", "requests/s"], lambda x: [cpu(x), med(x, "rps")]),
            ("lat", f"Latency at a fixed moderate rate (1 worker, pinned as above; {res['conns']} connections, think time 1–{2 * res['think'] - 1} ms)",
             ["rate, requests/s", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs/request at this rate"],
             lambda x: [med(x, "rps", rng=False), med(x, "p50_us"), med(x, "p99_us"), med(x, "p999_us"), cpu(x, False)])):
        if any(r["mode"] == mode for r in R):
            P(f"## {title}\n\n| peer | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
            for p in peers:
                if g(p, mode):
                    P(f"| {p} | " + " | ".join(cells(g(p, mode))) + " |")
            P("")
    if any(r["mode"] == "idle" for r in R):
        n = next(r["conns"] for r in R if r["mode"] == "idle")
        P(f"## Memory (1 worker, all processes of the proxy): idle, and with {n} open idle keep-alive connections\n")
        P("| peer | RSS idle MiB | RSS with connections MiB | PSS idle / with connections MiB | KiB per connection (PSS) |")
        P("|---|---|---|---|---|")
        for p in peers:
            x = g(p, "idle")
            if x:
                for r in x:
                    r["per_conn"] = (r["pss_conns_kib"] - r["pss_idle_kib"]) / r["conns"]
                s = 1 / 1024
                P(f"| {p} | {med(x, 'rss_idle_kib', '{:.1f}', scale=s)} | {med(x, 'rss_conns_kib', '{:.1f}', scale=s)} | "
                  f"{med(x, 'pss_idle_kib', '{:.1f}', False, s)} / {med(x, 'pss_conns_kib', '{:.1f}', False, s)} | {med(x, 'per_conn', '{:.1f}', False)} |")
        P("")
    bad = [f"{r['peer']} {r['mode']}: {e}" for r in R for e in r["errors"]] + [f"{p} check {n}: {w}" for p, c in res.get("check_failures", {}).items() for n, w in c.items() if n != "429 per caller" or w != "no rate limiter"]
    P(f"Errors over all runs: {len(bad)}" + ("" if not bad else " — THE RUN IS NOT VALID\n\n" + "\n".join("- " + b for b in bad)))
    return "\n".join(out) + "\n", bad


def save(res, a):
    text, bad = report(res, a)
    os.makedirs(a.out, exist_ok=True)
    with open(os.path.join(a.out, "results.json"), "w") as f:
        json.dump(res, f, indent=1)
    with open(os.path.join(a.out, "results.md"), "w") as f:
        f.write(text)
    return text, bad
