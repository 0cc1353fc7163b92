#!/usr/bin/env python3
"""CPU a delete by slices: all peers are up at once, and load goes round them a second at a time.

    benches/peers/slices.py [--peers nginx,haproxy,ours] [--modes w1,tls] [--rounds 7] [--secs 1]
    benches/peers/slices.py --also before=/path/to/an/older/smh-gateway
    benches/peers/slices.py --modes lat --peers direct,nginx,haproxy,ours

bench.py starts each peer anew for each run, minutes apart from the others, and a virtual machine changes its speed within
those. Here one round is a second of each, so what is compared was measured together. The first peer that is a proxy is what
the others are compared with; `direct` (no proxy) is what each adds to. Each slice opens its connections anew, so in TLS it
takes three seconds at least: handshakes are to be a small part of it. Whether a peer does the job is what bench.py checks
first; here the first round looks at each answer and is not counted, and all must be 200 and have been at the upstream.

`ours` is the gateway of target/release, unless OURS_CMD and the others of README.md say something else.
"""
import argparse, json, os, shutil, statistics, sys, tempfile
sys.dont_write_bytecode = True
from load import ERRORS, Meter, drive, write_loads
from modes import MODES
from peer import Ours, Peer, circumstances, ours_by_default, start_upstream
from process import CORES
from report import added, against, med


def peer(name, also):
    if name in also:
        ours = Ours()
        ours.name = name
        old = ours.command
        ours.command = lambda w, v: ([also[name], *old(w, v)[0][1:]], old(w, v)[1])
        return ours
    return Ours() if name == "ours" else Peer(name)


def one_slice(name, pr, up, mode, file, secs, cpus, check):
    """What bench.py's runs have too, as far as a slice tells it."""
    if pr:
        pr.refresh()
    up.settle()
    meter = Meter(pr, up)
    run = drive(pr.port if pr else up.port_for(mode, direct=True), mode, file, secs, 64, cpus, check=check)
    cpu, _, _, forwarded, _ = meter.used()
    n, wrong = run["requests"], run["bad"] + sum(run[k] for k in ERRORS)
    if wrong or not n or not n <= forwarded <= n + 64 + 2:
        raise SystemExit(f"FAIL: {name}: {wrong} wrong of {n} answers, {forwarded} at the upstream: {run['first_bad']}\n{pr.tail() if pr else ''}")
    return {"peer": name, "requests": n, "rps": n / secs, "cpu_us_per_req": cpu / n * 1e6 if pr else None, "p50_us": run.get("p50"), "p99_us": run.get("p99"), "errors": []}


def table(name, runs):
    """Lines of Markdown; the first peer that is a proxy is the reference."""
    mode, peers = MODES[name], list(dict.fromkeys(r["peer"] for r in runs))
    reference, more = next(p for p in peers if p != "direct"), []
    if mode.think and "direct" in peers:
        more = ["p50 / p99 added over direct, µs"]
    heads = [mode.protocol(), "CPU µs a delete", f"times {reference}'s, same round: median (quartiles)", "deletes/s", "p50 / p99 µs", *more]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for p in peers:
        of = [r for r in runs if r["peer"] == p]
        row = [p, "-", "-"]
        if p != "direct":
            times = against(runs, name, p, reference, "cpu_us_per_req", lambda mine, its: mine / its)
            low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
            row[1:] = [med(of, "cpu_us_per_req", "{:.1f}", False), f"{middle:.2f} ({low:.2f}–{high:.2f})"]
        row += [med(of, "rps", rng=False), f"{med(of, 'p50_us', rng=False)} / {med(of, 'p99_us', rng=False)}"]
        if more:
            row.append(f"{added(runs, name, p, 'p50_us', False)} / {added(runs, name, p, 'p99_us', False)}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def one_mode(name, a, secs, also, base):
    mode, runs, running = MODES[name], [], {}
    first, last = (CORES[:1], CORES[-1:]) if mode.pinned else (CORES, CORES)
    up = start_upstream(base, last)
    try:
        files = write_loads(base)
        for p in a.peers.split(",") + list(also):
            one = None if p == "direct" else peer(p, also)
            if not mode.audit or one and one.audits:
                running[one.name if one else p] = one and one.start(base, up, mode, cpus=first)
        if not any(running.values()):
            raise SystemExit(f"FAIL: none of {a.peers} is a proxy that does {name}")
        for turn in range(a.rounds + 1):
            for p, pr in running.items():
                r = one_slice(p, pr, up, mode, files["proxy" if pr else "direct"], secs, last, check=turn == 0)
                if turn:
                    runs.append(r | {"mode": name, "round": turn - 1})
    finally:
        for pr in filter(None, running.values()):
            pr.stop()
        up.stop()
    return runs


def main():
    ours_by_default()
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", default="nginx,haproxy,ours")
    ap.add_argument("--also", action="append", default=[], metavar="NAME=BINARY", help="another build of the gateway, beside `ours`")
    ap.add_argument("--modes", "--mode", default="w1", help=f"of {','.join(MODES)}; one after the other")
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--secs", type=int, default=1)
    ap.add_argument("--out", metavar="FILE", help="also as JSON, for plot.py")
    a = ap.parse_args()
    modes, also = a.modes.split(","), dict(x.split("=", 1) for x in a.also)
    if set(modes) - set(MODES):
        ap.error(f"no such mode: {', '.join(sorted(set(modes) - set(MODES)))}")
    base = tempfile.mkdtemp(prefix="slices-")
    os.chmod(base, 0o755)
    res = circumstances(a.peers.split(",")) | {"rounds": a.rounds, "secs": a.secs, "runs": []}
    try:
        for name in modes:
            secs = max(a.secs, 3) if MODES[name].tls else a.secs
            runs = one_mode(name, a, secs, also, base)
            res["runs"] += runs
            print(f"{name}, {a.rounds} rounds of {secs} s\n\n{table(name, runs)}\n", flush=True)
            if a.out:
                with open(a.out, "w") as f:
                    json.dump(res, f, indent=1)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
