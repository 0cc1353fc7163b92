#!/usr/bin/env python3
"""Side-by-side benchmark of reverse proxies that all do the same job. See README.md."""
import argparse, os, resource, shutil, sys, tempfile
sys.dont_write_bytecode = True
from check import check_peer
from load import clean_run, write_loads
from memory import idle_run
from modes import MODES, Mode
from peer import HERE, Ours, Peer, circumstances, ours_by_default, start_upstream
from process import CORES
from report import save


def main():
    ours_by_default()
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--peers", default="direct,nginx,haproxy,envoy,caddy,ours", help="comma-separated; 'direct' is no proxy")
    ap.add_argument("--modes", default="w1,lat,w2,log,audit,tls,tlsh2,idle")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=int, default=6)
    ap.add_argument("--conns", type=int, default=64)
    ap.add_argument("--idle-conns", type=int, default=1000)
    ap.add_argument("--think", type=int, default=13, help="mean think time in ms of the latency runs: rate = conns / think")
    ap.add_argument("--out", default=os.path.join(HERE, "results"), help="folder for results.json and results.md")
    ap.add_argument("--noise", type=float, default=0.08, help="repeat a run in which other work (or steal) took more than this, in cores")
    ap.add_argument("--retries", type=int, default=4)
    ap.add_argument("--quiet", type=int, default=180, help="wait at most this many seconds for the machine to be quiet before each run")
    ap.add_argument("--check-only", action="store_true")
    ap.add_argument("--skip-check", action="store_true")
    ap.add_argument("--keep", action="store_true", help="keep the temp folder (configs, logs)")
    a = ap.parse_args()
    if len(CORES) < 2:
        raise SystemExit("FAIL: two cores are needed")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    names = [n for n in a.peers.split(",") if n]
    peers = [None if n == "direct" else Ours() if n == "ours" else Peer(n) for n in names]
    modes = [m for m in a.modes.split(",") if m]
    unknown = set(modes) - set(MODES) - {"idle"}
    if unknown:
        ap.error(f"no such mode: {', '.join(sorted(unknown))}")
    # What is checked is the job, once in each protocol of the modes.
    protocols = dict.fromkeys(Mode(tls=m.tls, h2=m.h2) for m in [MODES[m] for m in modes if m in MODES] or [Mode()])
    base = tempfile.mkdtemp(prefix="proxy-bench-")
    os.chmod(base, 0o755)
    up = None
    try:
        res = circumstances(names) | {
            "rounds": a.rounds, "secs": a.secs, "conns": a.conns, "think": a.think,
            "checks": {}, "check_failures": {}, "negotiated": {}, "noise": {"discarded": 0}, "runs": []}
        if not a.skip_check:
            for p in peers:
                if p:
                    for mode in protocols:
                        c = check_peer(p, base, mode)
                        name = f"{p.name}, {mode.protocol()}"
                        res["checks"][name], res["negotiated"][name] = c.results, c.tls
                        if c.why:
                            res["check_failures"][name] = c.why
                        print(f"check {name:30s} " + "  ".join(f"{n}:{x}" for n, x in c.results.items()) + (f"  {c.tls}" if c.tls else "") + (f"  {c.why}" if c.why else ""), flush=True)
            if any("FAIL" in c.values() for c in res["checks"].values()):
                raise SystemExit("FAIL: a peer does not do the job: no figures are taken")
        if a.check_only:
            return
        files, up = write_loads(base), start_upstream(base, CORES)
        for rd in range(a.rounds):
            order = peers[rd % len(peers):] + peers[:rd % len(peers)]
            for m in modes:
                for p in order:
                    if p is None and m in ("log", "audit", "idle") or m == "audit" and not p.audits or m == "idle" and rd >= 3:  # memory hardly varies: 3 rounds do
                        continue
                    r = idle_run(p, base, up, a.idle_conns) if m == "idle" else clean_run(p, m, a, base, up, files, res["noise"])
                    r["round"] = rd
                    res["runs"].append(r)
                    if m == "idle":
                        print(f"round {rd} idle {r['peer']:8s} RSS {r['rss_idle_kib']} -> {r['rss_conns_kib']} KiB", *r["errors"], flush=True)
                    else:
                        print(f"round {rd} {m:5s} {r['peer']:8s} {r['rps']:8.0f} rps  {r['cpu_us_per_req'] or 0:6.1f} us/req  proxy {r['proxy_cores'] or 0:4.2f} cores  "
                              f"core busy {' '.join(format(b, '.0%') for b in r['core_busy'].values())}  other {r['foreign_cores']:.2f} steal {r['steal']:.1%}", *([f"p50 {r['p50_us']} p99 {r['p99_us']} p99.9 {r['p999_us']} us"] if r["p50_us"] else []), *r["errors"], flush=True)
            save(res, a)
        res["runs"].sort(key=lambda r: names.index(r["peer"]) if r["peer"] in names else 99)
        text, bad = save(res, a)
        print("\n" + text)
        if bad:
            raise SystemExit(f"FAIL: {len(bad)} errors: see above")
    finally:
        if up:
            up.stop()
        if a.keep:
            print("kept:", base, file=sys.stderr)
        else:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
