#!/usr/bin/env python3
"""CPU a delete by slices: all peers are up at once, and load goes round them a second at a time.

    benches/peers/slices.py [--peers nginx,haproxy,ours] [--mode w1] [--rounds 7] [--secs 1]
    benches/peers/slices.py --also before=/path/to/an/older/smh-gateway

bench.py starts each peer anew for each run, minutes apart from the others, and a virtual machine changes its speed within
those. Here one round is a second of each, so what is compared was measured together. Correctness is py's to check.
"""
import argparse, os, shutil, statistics, sys, tempfile
sys.dont_write_bytecode = True
from job import load_lines
from load import MODES, wrk
from peer import Ours, Peer, start_upstream
from process import CORES, cpu_s


def peer(name, also):
    if name in also:
        ours = Ours()
        ours.name = name
        old = ours.command
        ours.command = lambda w, v: ([also[name], *old(w, v)[0][1:]], old(w, v)[1])
        return ours
    return Ours() if name == "ours" else Peer(name)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", default="nginx,haproxy,ours")
    ap.add_argument("--also", action="append", default=[], metavar="NAME=BINARY", help="another build of the gateway, beside `ours`")
    ap.add_argument("--mode", choices=list(MODES), default="w1")
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--secs", type=int, default=1)
    a = ap.parse_args()
    workers, pinned, log, lat = MODES[a.mode]
    also = dict(x.split("=", 1) for x in a.also)
    base = tempfile.mkdtemp(prefix="slices-")
    os.chmod(base, 0o755)
    first, last = (CORES[:1], CORES[-1:]) if pinned else (CORES, CORES)
    up = start_upstream(base, last)
    running = {}
    try:
        for name in a.peers.split(",") + list(also):
            running[name] = peer(name, also).start(base, up.port, workers=workers, log=log, cpus=first)
        load = os.path.join(base, "load.txt")
        with open(load, "w") as f:
            f.writelines(load_lines(False))
        figures = {name: [] for name in running}
        for turn in range(a.rounds + 1):
            for name, pr in running.items():
                pr.refresh()
                before = cpu_s(pr.pids)
                run = wrk(pr.port, load, a.secs, 64, last, check=turn == 0, delay=(1, 25) if lat else (0, 0))
                used = cpu_s(pr.pids) - before
                wrong = run["bad"] + sum(run[k] for k in ("connect", "read", "write", "status", "timeout"))
                if wrong or not run["requests"]:
                    raise SystemExit(f"FAIL: {name}: {wrong} wrong answers: {run['first_bad']}\n{pr.tail()}")
                if turn:
                    figures[name].append((used / run["requests"] * 1e6, run["requests"] / a.secs, run["p50"], run["p99"]))
        reference = [x[0] for x in figures[next(iter(figures))]]
        print(f"| {a.mode} | CPU µs a delete | times {next(iter(figures))}'s, same round: median (quartiles) | deletes/s | p50 / p99 µs |\n|---|---|---|---|---|")
        for name, x in figures.items():
            times = [mine[0] / theirs for mine, theirs in zip(x, reference)]
            low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
            mid = lambda i: statistics.median(one[i] for one in x)
            print(f"| {name} | {mid(0):.1f} | {middle:.2f} ({low:.2f}–{high:.2f}) | {mid(1):.0f} | {mid(2):.0f} / {mid(3):.0f} |", flush=True)
    finally:
        for pr in running.values():
            pr.stop()
        up.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
