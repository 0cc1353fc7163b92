#!/usr/bin/env python3
"""How soon a gateway is ready: from exec to 200 of /readyz, and to the first delete's 200, beside nginx.

    cargo build --release && benches/start.py [--peers nginx,ours] [--runs 20]

The configuration is that of `peers/`: 16 callers, 16 tenants, twenty rules, one worker, tokens from files, so nothing is minted.
Asked is every half a millisecond, by this process, on whatever core the system gives it; files are in the page cache after
the first run, which is not counted. Needs nginx (Debian) as the upstream, also where it is not compared.
"""
import argparse, http.client, os, shutil, statistics, sys, tempfile, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from job import BODY200, KEYS
from modes import Mode
from peer import Ours, Peer, ours_by_default, start_upstream
from process import CORES, free_port

LIMIT = 10.0  # seconds


def answer(port, method, target, fields):
    """Status and body, or nothing while nobody listens."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        c.request(method, target, headers=fields)
        r = c.getresponse()
        return r.status, r.read()
    except OSError:
        return None
    finally:
        c.close()


def one_start(peer, base, up, admin):
    """Milliseconds to /readyz (where there is an admin listener) and to the first delete."""
    asked = {"delete": lambda: answer(pr.port, "DELETE", "/v1/files/tenant00/first.txt", {"Authorization": "Bearer " + KEYS[15]["key"]}) == (200, BODY200)}
    if admin:
        asked["readyz"] = lambda: (answer(admin, "GET", "/readyz", {}) or (0,))[0] == 200
    took = {}
    pr = peer.start(base, up, Mode(), ready=None, admin=admin)
    try:
        while len(took) < len(asked):
            for what in asked.keys() - took.keys():
                if asked[what]():
                    took[what] = (time.monotonic() - pr.exec_at) * 1000
            if pr.p.poll() is not None or time.monotonic() > pr.exec_at + LIMIT:
                raise SystemExit(f"FAIL: {peer.name} is not ready after {LIMIT:.0f} s, only {took}:\n{pr.tail()}")
            time.sleep(0.0005)
        return took
    finally:
        pr.stop()
        shutil.rmtree(pr.workdir, ignore_errors=True)


def main():
    ours_by_default()
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", default="nginx,ours")
    ap.add_argument("--runs", type=int, default=20)
    a = ap.parse_args()
    base = tempfile.mkdtemp(prefix="start-")
    os.chmod(base, 0o755)
    up = start_upstream(base, CORES)
    try:
        peers = [Ours() if name == "ours" else Peer(name) for name in a.peers.split(",")]
        took = {peer.name: [] for peer in peers}
        for run in range(a.runs + 1):
            for peer in peers:
                one = one_start(peer, base, up, free_port() if isinstance(peer, Ours) else None)
                if run:
                    took[peer.name].append(one)
        print(f"{a.runs} starts each, interleaved; ms from exec: median (most)\n\n| | to 200 of /readyz | to the first delete's 200 |\n|---|---|---|")
        for name, runs in took.items():
            cell = lambda what: f"{statistics.median(r[what] for r in runs):.1f} ({max(r[what] for r in runs):.1f})" if what in runs[0] else "-"
            print(f"| {name} | {cell('readyz')} | {cell('delete')} |")
    finally:
        up.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
