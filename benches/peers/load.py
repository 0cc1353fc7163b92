"""Load, and what it cost: one run of one peer in one mode."""
import http.client, json, os, re, resource, shutil, socket, subprocess, time
from caller import req
from job import BODY200, KEYS
from peer import HERE, upstream_count, which
from process import CORES, TICK, core_times, cpu_s, mem_kib

def wrk(port, reqfile, secs, conns, cpus, check=False, delay=(0, 0), host=None):
    cmd = [which("wrk"), "-t1", f"-c{conns}", f"-d{secs}s", "--timeout", "5s", "-s", os.path.join(HERE, "load.lua"),
           f"http://127.0.0.1:{port}/", "--", reqfile, "1" if check else "0", str(delay[0]), str(delay[1])]
    r0 = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(cmd, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    r1 = resource.getrusage(resource.RUSAGE_CHILDREN)
    m = re.search(r"^@@JSON (.*)$", out.stdout, re.M)
    if not m:
        raise SystemExit("FAIL: wrk gave no result:\n" + out.stdout[-800:] + out.stderr[-800:])
    d = json.loads(m.group(1))
    d["wrk_cpu_s"] = r1.ru_utime + r1.ru_stime - r0.ru_utime - r0.ru_stime
    return d


MODES = {  # name: (proxy workers, pinned, access log, latency run)
    "w1": (1, True, False, False), "lat": (1, True, False, True), "w2": (2, False, False, False), "log": (1, True, True, False)}


def one_run(peer, mode, a, base, up, files):
    workers, pinned, log, lat = MODES[mode]
    direct = peer is None
    pcpu = [CORES[0]] if pinned else CORES
    lcpu = [CORES[-1]] if pinned else CORES
    up.pin(lcpu)
    delay = (1, 2 * a.think - 1) if lat else (0, 0)
    pr = None if direct else peer.start(base, up.port, workers=workers, log=log, cpus=pcpu)
    errs = []
    try:
        port, rf = (up.port, files["direct"]) if direct else (pr.port, files["proxy"])
        warm = wrk(port, rf, 1, a.conns, lcpu, check=True, delay=delay)
        if warm["bad"] or not warm["checked"]:
            errs.append(f"warm-up: {warm['bad']} wrong answers of {warm['checked']}, first: {warm['first_bad']}")
        time.sleep(0.2)
        if pr:
            pr.refresh()
        me0 = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        c0, u0, k0, n0 = (cpu_s(pr.pids) if pr else 0), cpu_s(up.pids), core_times(), upstream_count(up.port)
        d = wrk(port, rf, a.secs, a.conns, lcpu, delay=delay)
        c1, u1, k1, n1 = (cpu_s(pr.pids) if pr else 0), cpu_s(up.pids), core_times(), upstream_count(up.port)
        me1 = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        logged = None
        if pr and log:
            pr.stop()
            logged = max([os.path.getsize(os.path.join(pr.workdir, f)) for f in ("access.log", "out.log") if os.path.exists(os.path.join(pr.workdir, f))])
    finally:
        if pr:
            pr.stop()
            if not errs and not a.keep:
                shutil.rmtree(pr.workdir, ignore_errors=True)
    n, sec = d["requests"], d["duration_us"] / 1e6
    fwd = n1 - n0 - 1
    for k in ("connect", "read", "write", "status", "timeout"):
        if d[k]:
            errs.append(f"{d[k]} {k} errors")
    if not n <= fwd <= n + a.conns + 2:
        errs.append(f"{n} answers but {fwd} requests at the upstream")
    if n and warm["requests"] and abs(d["bytes"] / n - warm["bytes"] / warm["requests"]) > 2:
        errs.append("answers of another size than in the checked warm-up")
    if log and pr and (logged or 0) < 20 * n:
        errs.append(f"access log of {logged} bytes for {n} requests")
    core = {c: {x: k1[c][x] - k0[c][x] for x in k1[c]} for c in k1}
    r = {"peer": "direct" if direct else peer.name, "mode": mode, "requests": n, "rps": n / sec, "errors": errs,
         "cpu_us_per_req": None if direct else (c1 - c0) / n * 1e6, "proxy_cores": None if direct else (c1 - c0) / sec,
         "upstream_us_per_req": (u1 - u0) / n * 1e6, "wrk_us_per_req": d["wrk_cpu_s"] / n * 1e6,
         "core_busy": {c: core[c]["busy"] / max(1, core[c]["all"]) for c in core},
         "steal": max(core[c]["steal"] / max(1, core[c]["all"]) for c in core)}
    # CPU time of this machine in the run that none of our processes used, in cores: other work going on here
    r["foreign_cores"] = max(0, sum(core[c]["busy"] for c in core) / TICK - (c1 - c0) - (u1 - u0) - d["wrk_cpu_s"] - (me1 - me0)) / sec
    for k in ("p50", "p90", "p99", "p999", "max"):
        r[k + "_us"] = d[k]
    if pinned and not direct:
        r["core_us_per_req"] = core[CORES[0]]["busy"] / TICK / n * 1e6
    return r


def wait_quiet(limit):
    """Until nothing else uses the CPU (under 8 % of one core for 0.6 s), at most limit seconds; True when quiet."""
    end, ok, told = time.time() + limit, 0, False
    while time.time() < end:
        a = core_times()
        time.sleep(0.3)
        b = core_times()
        busy = sum(b[c]["busy"] - a[c]["busy"] for c in b) / TICK / 0.3
        ok = ok + 1 if busy < 0.08 else 0
        if ok == 2:
            return True
        if not ok and not told:
            told = True
            print(f"waiting: other work uses {busy:.2f} cores", flush=True)
    return False


def clean_run(peer, mode, a, base, up, files, tally):
    """one_run, again while other work on the machine disturbed it; the least disturbed counts."""
    best = None
    for _ in range(a.retries + 1):
        wait_quiet(a.quiet)
        r = one_run(peer, mode, a, base, up, files)
        if best is None or r["errors"] or r["foreign_cores"] < best["foreign_cores"]:
            best = r
        if r["errors"] or (r["foreign_cores"] <= a.noise and r["steal"] <= a.noise):
            break
        tally["discarded"] += 1
        print(f"again: {r['peer']} {mode}: other work took {r['foreign_cores']:.2f} cores, steal {r['steal']:.1%}", flush=True)
    best["noisy"] = best["foreign_cores"] > a.noise or best["steal"] > a.noise
    return best


def idle_run(peer, base, up, conns):
    up.pin(CORES)
    pr = peer.start(base, up.port, workers=1)
    socks = []
    try:
        c = http.client.HTTPConnection("127.0.0.1", pr.port, timeout=5)
        for i in range(50):
            assert req(pr.port, f"/v1/files/tenant01/f{i}", KEYS[i % 16]["key"], conn=c)[0] == 200
        c.close()
        time.sleep(1)
        rss0, pss0 = mem_kib(pr.refresh())
        q = f"DELETE /v1/files/tenant01/idle.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS[2]['key']}\r\n\r\n".encode()
        bad = 0
        for i in range(conns):
            s = socket.create_connection(("127.0.0.1", pr.port), timeout=5)
            s.sendall(q)
            b = b""
            while not b.endswith(BODY200):
                try:
                    x = s.recv(4096)
                except TimeoutError:
                    x = b""
                if not x:
                    break
                b += x
            bad += not (b.startswith(b"HTTP/1.1 200") and BODY200 in b)
            socks.append(s)
        time.sleep(1.5)
        closed = 0
        for s in socks:
            s.setblocking(False)
            try:
                closed += s.recv(1) == b""
            except BlockingIOError:
                pass
        rss1, pss1 = mem_kib(pr.refresh())
    finally:
        for s in socks:
            s.close()
        pr.stop()
    errs = ([f"{bad} wrong answers"] if bad else []) + ([f"{closed} idle connections closed"] if closed else [])
    return {"peer": peer.name, "mode": "idle", "rss_idle_kib": rss0, "rss_conns_kib": rss1, "pss_idle_kib": pss0, "pss_conns_kib": pss1,
            "conns": conns, "errors": errs}
