#!/usr/bin/env python3
"""CPU a delete by slices: all peers are up at once, and load goes round them a second at a time.

    benches/peers/slices.py [--peers nginx,haproxy,ours] [--mode w1] [--rounds 7] [--secs 1]
    benches/peers/slices.py --also before=/path/to/an/older/smh-gateway
    benches/peers/slices.py --mode lat --peers direct,nginx,haproxy,ours

bench.py starts each peer anew for each run, minutes apart from the others, and a virtual machine changes its speed within
those. Here one round is a second of each, so what is compared was measured together. The peer named first is what the others
are compared with, `direct` (no proxy) is what each adds to. Each slice opens its connections anew: in TLS, two seconds or
more (--secs 3) keep its handshakes below a hundredth. What is correct about the answers, bench.py checks first;
here the first round looks at each, and all must be answered 200 and have been at the upstream.

`ours` is the gateway of target/release, unless OURS_CMD and the others of README.md say something else.
"""
import argparse, os, shutil, statistics, sys, tempfile
sys.dont_write_bytecode = True
from load import ERRORS, Meter, drive, write_loads
from modes import MODES
from peer import Ours, Peer, ours_by_default, start_upstream
from process import CORES


def peer(name, also):
    if name in also:
        ours = Ours()
        ours.name = name
        old = ours.command
        ours.command = lambda w, v: ([also[name], *old(w, v)[0][1:]], old(w, v)[1])
        return ours
    return Ours() if name == "ours" else Peer(name)


def one_slice(name, pr, up, mode, file, secs, cpus, check):
    """CPU a delete in microseconds, deletes a second, p50 and p99."""
    if pr:
        pr.refresh()
    up.settle()
    meter = Meter(pr, up)
    run = drive(pr.port if pr else up.port_for(mode, direct=True), mode, file, secs, 64, cpus, check=check)
    cpu, _, _, forwarded, _ = meter.used()
    n, wrong = run["requests"], run["bad"] + sum(run[k] for k in ERRORS)
    if wrong or not n or not n <= forwarded <= n + 64 + 2:
        raise SystemExit(f"FAIL: {name}: {wrong} wrong of {n} answers, {forwarded} at the upstream: {run['first_bad']}\n{pr.tail() if pr else ''}")
    return cpu / n * 1e6, n / secs, run.get("p50"), run.get("p99")


def table(mode, figures):
    """Lines of Markdown; the first peer that is a proxy is the reference."""
    proxies = [name for name in figures if name != "direct"]
    first, direct = figures[proxies[0]], figures.get("direct")
    more = ["p50 / p99 added over direct, µs"] if direct and mode.think else []
    heads = [mode.protocol(), "CPU µs a delete", f"times {proxies[0]}'s, same round: median (quartiles)", "deletes/s", "p50 / p99 µs", *more]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, x in figures.items():
        mid = lambda i: statistics.median(one[i] for one in x)
        pair = lambda i, j, f: f"{f(i)} / {f(j)}" if x[0][i] is not None else "-"
        times = [mine[0] / its[0] for mine, its in zip(x, first)]
        low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        row = [name, "-", "-"] if name == "direct" else [name, f"{mid(0):.1f}", f"{middle:.2f} ({low:.2f}–{high:.2f})"]
        row += [f"{mid(1):.0f}", pair(2, 3, lambda i: f"{mid(i):.0f}")]
        if more:
            added = lambda i: f"{statistics.median(mine[i] - its[i] for mine, its in zip(x, direct)):+.0f}"
            row.append("-" if name == "direct" else pair(2, 3, added))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main():
    ours_by_default()
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", default="nginx,haproxy,ours")
    ap.add_argument("--also", action="append", default=[], metavar="NAME=BINARY", help="another build of the gateway, beside `ours`")
    ap.add_argument("--mode", choices=list(MODES), default="w1")
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--secs", type=int, default=1)
    a = ap.parse_args()
    mode, also = MODES[a.mode], dict(x.split("=", 1) for x in a.also)
    first, last = (CORES[:1], CORES[-1:]) if mode.pinned else (CORES, CORES)
    base = tempfile.mkdtemp(prefix="slices-")
    os.chmod(base, 0o755)
    up, running = start_upstream(base, last), {}
    try:
        files = write_loads(base)
        for name in a.peers.split(",") + list(also):
            one = None if name == "direct" else peer(name, also)
            if one and mode.audit and not one.audits:
                continue
            running[name] = one and one.start(base, up, mode, cpus=first)
        if not any(running.values()):
            raise SystemExit(f"none of {a.peers} is a proxy that does {a.mode}")
        figures = {name: [] for name in running}
        for turn in range(a.rounds + 1):
            for name, pr in running.items():
                one = one_slice(name, pr, up, mode, files["proxy" if pr else "direct"], a.secs, last, check=turn == 0)
                if turn:
                    figures[name].append(one)
        print(f"{a.mode}, {a.rounds} rounds of {a.secs} s\n\n{table(mode, figures)}")
    finally:
        for pr in filter(None, running.values()):
            pr.stop()
        up.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
