#!/usr/bin/env python3
"""How evenly a proxy's workers are used: CPU by worker, of fresh connections in each round.

    benches/peers/workers.py [--peers nginx,ours] [--workers 2,4] [--conns 64,512] [--rounds 5] [--secs 2] [--think]

Spread is the busiest worker's CPU over the mean of all: 1 is even, as many as there are workers is all on one. Workers are
nginx's processes, and the threads of the others that serve. Nothing is pinned. A saturated proxy evens itself out, since callers
of a busy worker get slower; with --think they ask at a rate of their own, 5,000 deletes a second in all, so that CPU is as the
connections are spread.
"""
import argparse, os, re, resource, shutil, statistics, sys, tempfile
sys.dont_write_bytecode = True
from load import ERRORS, drive, write_loads
from modes import Mode
from peer import Ours, Peer, ours_by_default, start_upstream
from process import CORES, thread_s


def workers_of(pr):
    """CPU of each worker so far, by its name and number."""
    threads = thread_s(pr.refresh())
    named = {key: s for key, s in threads.items() if re.search(r"worker[-_]\d+$", key[2])}
    if named:
        return {key[2:]: s for key, s in named.items()}
    children = {key: s for key, s in threads.items() if key[0] != pr.p.pid}
    return children or threads


def one_round(pr, up, mode, file, conns, secs, check):
    up.settle()
    before = workers_of(pr)
    # With --think, some 5,000 deletes a second, however many connections there are.
    run = drive(pr.port, mode, file, secs, conns, CORES, check=check, think=max(1, conns // 5))
    used = [s - before[key] for key, s in sorted(workers_of(pr).items())]
    wrong = run["bad"] + sum(run[k] for k in ERRORS)
    if wrong or not run["requests"]:
        raise SystemExit(f"FAIL: {pr.name}: {wrong} wrong answers: {run['first_bad']}\n{pr.tail()}")
    if len(used) != mode.workers:
        raise SystemExit(f"FAIL: {pr.name} has {len(used)} workers instead of {mode.workers}")
    return used, run["requests"] / secs, run["p50"], run["p99"]


def main():
    ours_by_default()
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", default="nginx,ours")
    ap.add_argument("--workers", default="2,4")
    ap.add_argument("--conns", default="64,512")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=int, default=2)
    ap.add_argument("--think", action="store_true")
    a = ap.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    base = tempfile.mkdtemp(prefix="workers-")
    os.chmod(base, 0o755)
    up = start_upstream(base, CORES)
    print("| peer | workers | connections | spread: median (least–most) | CPU by worker in the last round | deletes/s | p50 / p99 µs |\n|---|---|---|---|---|---|---|")
    try:
        file = write_loads(base)["proxy"]
        for workers in map(int, a.workers.split(",")):
            for name in a.peers.split(","):
                mode = Mode(workers=workers, pinned=False, think=a.think)
                pr = (Ours() if name == "ours" else Peer(name)).start(base, up, mode)
                try:
                    for conns in map(int, a.conns.split(",")):
                        # The first round looks at each answer, and is not counted.
                        rounds = [one_round(pr, up, mode, file, conns, a.secs, check=turn == 0) for turn in range(a.rounds + 1)][1:]
                        spreads = [max(used) / statistics.mean(used) for used, *_ in rounds]
                        last = rounds[-1][0]
                        mid = lambda i: statistics.median(one[i] for one in rounds)
                        print(f"| {pr.name} | {workers} | {conns} | {statistics.median(spreads):.2f} ({min(spreads):.2f}–{max(spreads):.2f}) | "
                              f"{' '.join(f'{s / sum(last):.0%}' for s in last)} | {mid(1):.0f} | {mid(2):.0f} / {mid(3):.0f} |", flush=True)
                finally:
                    pr.stop()
    finally:
        up.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
