"""The tables, made from the runs."""
import json, os, statistics
from check import CHECKS, TLS_CHECKS
from process import CORES


def med(rows, key, f="{:.0f}", rng=True, scale=1):
    return spread([r[key] * scale for r in rows if r.get(key) is not None], f, rng)


def spread(x, f="{:.0f}", rng=True):
    """Median (least–most)."""
    if not x:
        return "-"
    return f.format(statistics.median(x)) + (f" ({f.format(min(x))}–{f.format(max(x))})" if rng and len(x) > 1 else "")


def against(R, mode, p, ref, key, how):
    """`how` a figure relates to ref's of the same round, so that the machine's drift cancels."""
    by = {r["round"]: r[key] for r in R if r["peer"] == ref and r["mode"] == mode and r.get(key) is not None}
    return [how(r[key], by[r["round"]]) for r in R if r["peer"] == p and r["mode"] == mode and r["round"] in by and r.get(key) is not None]


def table(title, heads, rows):
    """A section, or nothing without rows."""
    if not rows:
        return []
    return [f"## {title}\n", "| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1), *("| " + " | ".join(row) + " |" for row in rows), ""]


def correctness(res):
    names = CHECKS + [n for n in TLS_CHECKS if any(n in c for c in res["checks"].values())]
    out = table("Correctness (with a logging upstream)", ["peer", *names], [[p, *(c.get(n, "-") for n in names)] for p, c in res["checks"].items()])
    told = [f"{p}: {tls}" for p, tls in res["negotiated"].items() if tls]
    return out + ([f"Ciphers, each side's own choice: {'; '.join(told)}.\n"] if told else [])


def saturated(R, peers, mode, title):
    rows = []
    for p in peers:
        x = [r for r in R if r["peer"] == p and r["mode"] == mode]
        if not x:
            continue
        b = statistics.median(r["core_busy"][CORES[-1]] for r in x)
        tail = f"{med(x, 'p50_us', rng=False)} / {med(x, 'p99_us', rng=False)}"
        if p == "direct":
            rows.append(["direct", "-", "-", med(x, "rps"), "-", f"{b:.0%}", "no proxy: the ceiling of the load core", tail])
            continue
        u = statistics.median(r["proxy_cores"] for r in x)
        rows.append([p, cpu(x), times(R, mode, p), med(x, "rps"), f"{u:.0%}", f"{b:.0%}", "yes" if u >= 0.95 else "NO: a lower bound", tail])
    return table(title, ["peer", "CPU µs/request", "CPU as a multiple of nginx's, same round", "requests/s", "proxy's share of its core", "load core busy",
                         "is rps the proxy's own limit?", "p50 / p99 µs at saturation"], rows)


def cpu(x, rng=True):
    return med(x, "cpu_us_per_req", "{:.1f}", rng)


def times(R, mode, p):
    return spread(against(R, mode, p, "nginx", "cpu_us_per_req", lambda mine, its: mine / its) if p != "direct" else [], "{:.2f}")


def added(R, mode, p, key, rng=True):
    """What a proxy adds to the way without one."""
    return spread(against(R, mode, p, "direct", key, lambda mine, its: mine - its) if p != "direct" else [], "{:+.0f}", rng)


def report(res):
    R, P = res["runs"], []
    peers = list(dict.fromkeys(r["peer"] for r in R))
    g = lambda p, m: [r for r in R if r["peer"] == p and r["mode"] == m]
    rows = lambda m, cells: [[p, *cells(p, g(p, m))] for p in peers if g(p, m)]
    P += ["# Results\n",
          f"{res['machine']['cpu']}, {res['machine']['cores']} cores, kernel {res['machine']['kernel']}; " + ", ".join(f"{k} {v}" for k, v in res["versions"].items()) + f"; {res['when']}.",
          f"{res['rounds']} interleaved rounds of {res['secs']} s, {res['conns']} connections; median (min–max). "
          f"Other work on the machine took at most {max([r.get('foreign_cores', 0) for r in R] or [0]):.2f} cores and steal at most {max([r.get('steal', 0) for r in R] or [0]):.1%} in the runs kept; "
          f"{res['noise']['discarded']} disturbed runs were repeated, {sum(bool(r.get('noisy')) for r in R)} kept all the same.\n"]
    P += correctness(res) if res.get("checks") else []
    layout = "1 worker: proxy alone on core 0, upstream and load generator on core 1"
    P += saturated(R, peers, "w1", layout)
    P += saturated(R, peers, "tls", "TLS 1.3 in and out, HTTP/1.1, kept connections; " + layout)
    P += saturated(R, peers, "tlsh2", "TLS 1.3 in and out, HTTP/2 in (16 connections, 4 streams each), HTTP/1.1 out, kept connections; " + layout)
    P += table("2 workers, nothing pinned: proxy, upstream and load generator share both cores\n\nRequests/s here is the whole box's, not the proxy's; CPU per request is the proxy's own.",
               ["peer", "CPU µs/request", "multiple of nginx's", "requests/s of the whole box", "cores the proxy used"],
               rows("w2", lambda p, x: [cpu(x), times(R, "w2", p), med(x, "rps"), med(x, "proxy_cores", "{:.2f}", rng=False)]))
    P += table("1 worker as above, access log on", ["peer", "CPU µs/request", "multiple of nginx's", "requests/s"], rows("log", lambda p, x: [cpu(x), times(R, "log", p), med(x, "rps")]))
    P += table("1 worker as above, the gateway's journal on (`durability: buffered`, two records a delete), beside nginx with its access log",
               ["peer", "CPU µs/request", "multiple of nginx's", "requests/s"], rows("audit", lambda p, x: [cpu(x), times(R, "audit", p), med(x, "rps")]))
    P += table(f"Latency at a fixed moderate rate (1 worker, pinned as above; {res['conns']} connections, think time 1–{2 * res['think'] - 1} ms)",
               ["peer", "rate, requests/s", "p50 µs", "p99 µs", "p99.9 µs", "p50 added over direct, same round", "p99 added over direct", "CPU µs/request at this rate"],
               rows("lat", lambda p, x: [med(x, "rps", rng=False), med(x, "p50_us"), med(x, "p99_us"), med(x, "p999_us"), added(R, "lat", p, "p50_us"), added(R, "lat", p, "p99_us"), cpu(x, False)]))
    P += memory(R, rows)
    bad = [f"{r['peer']} {r['mode']}: {e}" for r in R for e in r["errors"]] + [f"{p} check {n}: {w}" for p, c in res.get("check_failures", {}).items() for n, w in c.items() if w != "no rate limiter"]
    P.append(f"Errors over all runs: {len(bad)}" + ("" if not bad else " — THE RUN IS NOT VALID\n\n" + "\n".join("- " + b for b in bad)))
    return "\n".join(P) + "\n", bad


def memory(R, rows):
    x, s = [r for r in R if r["mode"] == "idle"], 1 / 1024
    for r in x:
        r["per_conn"] = (r["pss_conns_kib"] - r["pss_idle_kib"]) / r["conns"]
    return table(f"Memory (1 worker, all processes of the proxy): idle, and with {x[0]['conns'] if x else 0} open idle keep-alive connections",
                 ["peer", "RSS idle MiB", "RSS with connections MiB", "PSS idle / with connections MiB", "KiB per connection (PSS)"],
                 rows("idle", lambda p, y: [med(y, "rss_idle_kib", "{:.1f}", scale=s), med(y, "rss_conns_kib", "{:.1f}", scale=s),
                                            f"{med(y, 'pss_idle_kib', '{:.1f}', False, s)} / {med(y, 'pss_conns_kib', '{:.1f}', False, s)}", med(y, "per_conn", "{:.1f}", False)]))


def save(res, a):
    text, bad = report(res)
    os.makedirs(a.out, exist_ok=True)
    with open(os.path.join(a.out, "results.json"), "w") as f:
        json.dump(res, f, indent=1)
    with open(os.path.join(a.out, "results.md"), "w") as f:
        f.write(text)
    return text, bad
