"""Load, and what it cost: one run of one peer in one mode."""
import json, os, re, resource, shutil, subprocess, time
from job import BODY200, KEYS, load_lines
from modes import MODES
from peer import HERE, which
from process import CORES, TICK, core_times, cpu_s

ERRORS = ("connect", "read", "write", "status", "timeout")
# HTTP/2 callers: so many processes, each with a key of its own, and so many deletes at once on each connection.
H2_PROCESSES, H2_STREAMS = 4, 4


def write_loads(base):
    """The requests, by what they are sent to: a file for wrk, and beside it one for h2load."""
    files = {}
    for to in ("direct", "proxy"):
        files[to] = os.path.join(base, to + ".txt")
        lines = load_lines(to == "direct")
        with open(files[to], "w") as f, open(files[to] + ".uris", "w") as g:
            f.writelines(lines)
            g.writelines(line.split("\t")[0] + "\n" for line in lines)
    return files


def drive(port, mode, file, secs, conns, cpus, check=False, think=13):
    """One piece of load; with `check` each answer is looked at."""
    if mode.h2:
        return h2load(port, file, secs, conns, cpus, check)
    return wrk(port, file, secs, conns, cpus, check, (1, 2 * think - 1) if mode.think else (0, 0), mode.tls)


def spent():
    """CPU seconds of all children that have ended."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def wrk(port, reqfile, secs, conns, cpus, check=False, delay=(0, 0), tls=False):
    cmd = [which("wrk"), "-t1", f"-c{conns}", f"-d{secs}s", "--timeout", "5s", "-s", os.path.join(HERE, "load.lua"),
           f"https://localhost:{port}/" if tls else f"http://127.0.0.1:{port}/", "--", reqfile, "1" if check else "0", str(delay[0]), str(delay[1])]
    before = spent()
    out = subprocess.run(cmd, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    m = re.search(r"^@@JSON (.*)$", out.stdout, re.M)
    if not m:
        raise SystemExit("FAIL: wrk gave no result:\n" + out.stdout[-800:] + out.stderr[-800:])
    return json.loads(m.group(1)) | {"load_cpu_s": spent() - before}


def h2load(port, reqfile, secs, conns, cpus, check=False):
    """Counted as wrk counts. Of answers it shows the status, and how long all bodies are: with `check` each status is looked at, and the sum of the bodies."""
    clients, before, jobs = max(1, conns // (H2_PROCESSES * H2_STREAMS)), spent(), []
    for i in range(H2_PROCESSES):
        log = f"{reqfile}.answers{i}"
        cmd = [which("h2load"), "-D", str(secs), "-c", str(clients), "-m", str(H2_STREAMS), "-i", reqfile + ".uris", "-B", f"https://localhost:{port}",
               # OpenSSL's order, which wrk has too
               "--tls13-ciphers", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
               "-H", ":method: DELETE", "-H", "authorization: Bearer " + KEYS[i]["key"], *(["--log-file", log] if check else [])]
        jobs.append((log, subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))))
    sums = dict.fromkeys(("requests", "bytes", "body", "checked", "bad", *ERRORS), 0) | {"first_bad": "", "duration_us": secs * 1e6}
    for log, job in jobs:
        out = job.communicate()[0]
        m = re.search(r"requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout\s+"
                      r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx\s+traffic: \S+ \((\d+)\) total, .* \S+ \((\d+)\) data", out)
        if not m or "Application protocol: h2" not in out:
            raise SystemExit("FAIL: h2load gave no result over HTTP/2:\n" + out[-1200:])
        done, failed, errored, late, moved, refused, broken, total, body = map(int, m.groups())
        for what, n in (("requests", done), ("bytes", total), ("body", body), ("read", errored + failed - late), ("timeout", late), ("status", moved + refused + broken)):
            sums[what] += n
        if check:
            with open(log) as f:
                statuses = [line.split("\t")[1] for line in f]
            wrong = [st for st in statuses if st != "200"]
            sums["checked"] += len(statuses)
            sums["bad"] += len(wrong)
            sums["first_bad"] = sums["first_bad"] or (wrong[0] if wrong else "")
            os.remove(log)
    # At the end some answers are cut off, of which a body may have come already.
    if not 0 <= sums["body"] - sums["requests"] * len(BODY200) <= conns * len(BODY200):
        sums["bad"] += 1
        sums["first_bad"] = sums["first_bad"] or f"{sums['body']} bytes of bodies in {sums['requests']} answers"
    return sums | {"load_cpu_s": spent() - before}


def journal_error(path, n):
    """Each delete that was answered has its intent and its end in the journal."""
    if not os.path.exists(path):
        return "no journal"
    counts = {b'"event":"intent"': 0, b'"event":"delete"': 0}
    with open(path, "rb") as f:
        for line in f:
            for event in counts:
                counts[event] += event in line
    return "" if min(counts.values()) >= n else f"{n} deletes, but a journal with {counts}"


def log_error(pr, n):
    """At least 20 bytes for each request, in a file or on standard output."""
    files = [os.path.join(pr.workdir, f) for f in ("access.log", "out.log")]
    logged = max(os.path.getsize(f) for f in files if os.path.exists(f))
    return "" if logged >= 20 * n else f"access log of {logged} bytes for {n} requests"


class Meter:
    """What was used since it was made: CPU of the proxy, the upstream and this process, each core's time, and the upstream's count."""
    def __init__(self, pr, up):
        self.read = lambda: (cpu_s(pr.pids) if pr else 0, cpu_s(up.pids), core_times(), up.count(), sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        self.before = self.read()

    def used(self):
        c, u, cores, n, me = self.read()
        c0, u0, cores0, n0, me0 = self.before
        return c - c0, u - u0, {k: {x: cores[k][x] - cores0[k][x] for x in cores[k]} for k in cores}, n - n0 - 1, me - me0


def one_run(peer, name, a, base, up, files):
    mode, direct = MODES[name], peer is None
    lcpu = [CORES[-1]] if mode.pinned else CORES
    up.pin(lcpu)
    pr = None if direct else peer.start(base, up, mode, cpus=[CORES[0]] if mode.pinned else CORES)
    errs = []
    try:
        port, file = (up.port_for(mode, direct=True), files["direct"]) if direct else (pr.port, files["proxy"])
        warm = drive(port, mode, file, 1, a.conns, lcpu, check=True, think=a.think)
        if warm["bad"] or not warm["checked"]:
            errs.append(f"warm-up: {warm['bad']} wrong answers of {warm['checked']}, first: {warm['first_bad']}")
        up.settle()
        if pr:
            pr.refresh()
        meter = Meter(pr, up)
        d = drive(port, mode, file, a.secs, a.conns, lcpu, think=a.think)
        cpu, up_cpu, core, forwarded, own = meter.used()
        n, sec = d["requests"], d["duration_us"] / 1e6
        if pr and (mode.log or mode.audit):
            pr.stop()
            errs += filter(None, [journal_error(os.path.join(pr.workdir, "audit.jsonl"), n) if mode.audit and peer.journal else log_error(pr, n)])
    finally:
        if pr:
            pr.stop()
            if not errs and not a.keep:
                shutil.rmtree(pr.workdir, ignore_errors=True)
    errs += [f"{d[k]} {k} errors" for k in ERRORS if d[k]]
    if d["bad"]:
        errs.append(d["first_bad"])
    if not n <= forwarded <= n + a.conns + 2:
        errs.append(f"{n} answers but {forwarded} requests at the upstream")
    # HPACK has learnt less in the shorter warm-up: there it is the bodies that are looked at.
    if not mode.h2 and n and warm["requests"] and abs(d["bytes"] / n - warm["bytes"] / warm["requests"]) > 2:
        errs.append("answers of another size than in the checked warm-up")
    r = {"peer": "direct" if direct else peer.name, "mode": name, "requests": n, "rps": n / sec, "errors": errs,
         "cpu_us_per_req": None if direct else cpu / n * 1e6, "proxy_cores": None if direct else cpu / sec,
         "upstream_us_per_req": up_cpu / n * 1e6, "load_us_per_req": d["load_cpu_s"] / n * 1e6,
         "core_busy": {c: core[c]["busy"] / max(1, core[c]["all"]) for c in core},
         "steal": max(core[c]["steal"] / max(1, core[c]["all"]) for c in core)}
    # CPU time of this machine in the run that none of our processes used, in cores: other work going on here
    r["foreign_cores"] = max(0, sum(core[c]["busy"] for c in core) / TICK - cpu - up_cpu - d["load_cpu_s"] - own) / sec
    for k in ("p50", "p90", "p99", "p999", "max"):
        r[k + "_us"] = d.get(k)
    if mode.pinned and not direct:
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
