#!/usr/bin/env python3
"""Side-by-side benchmark of reverse proxies that all do the same job. See README.md."""
import argparse, hashlib, http.client, json, os, platform, random, re, resource, shlex, shutil
import signal, socket, statistics, subprocess, sys, tempfile, threading, time, urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TMPL = os.path.join(HERE, "peers")
CACHE = os.environ.get("BENCH_VENV") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "proxy-bench", "venv")
CORES = sorted(os.sched_getaffinity(0))
HIGH_RATE, LOW_RATE = 1000000, 5
TICK = os.sysconf("SC_CLK_TCK")

# ---------------------------------------------------------------- the fixed data set
_r = random.Random(1221)
_hex = lambda n: "".join(_r.choice("0123456789abcdef") for _ in range(n))
KEYS = [{"caller": f"caller{i:02d}", "key": "smhk_" + _hex(40)} for i in range(16)]
for k in KEYS:
    k["key_sha256"] = hashlib.sha256(k["key"].encode()).hexdigest()
TENANTS = [{"tenant": f"tenant{i:02d}", "library": "smh" + _hex(14), "space": "space" + _hex(14)} for i in range(14)]
TENANTS += [{"tenant": t, "library": "smh" + _hex(14), "space": "space" + _hex(14)} for t in ("gone", "missing")]
TOKEN = "acctk" + _hex(59)
BODY200 = b'{"recycledItemId":1221}'
BODY404 = b'{"code":"FileNotFound","message":"File not found.","requestId":"0123456789abcdef"}'


def load_lines(direct):
    """The request mix of the load runs: 512 requests, every 4th with a user_id, every 8th percent-encoded."""
    rnd, out = random.Random(7), []
    for i in range(512):
        t, k = TENANTS[rnd.randrange(14)], KEYS[rnd.randrange(16)]
        path = f"projects/2024/q{i % 4 + 1}/team-{i % 23:02d}/report-{i:04d}.docx"
        if i % 8 == 0:
            path = f"projects/2024/%E6%8A%A5%E5%91%8A/summary%20{i:04d}.docx"
        uid = f"user{i:05d}" if i % 4 == 0 else ""
        if direct:
            p = f"/api/v1/file/{t['library']}/{t['space']}/{path}?permanent=0&access_token={TOKEN}" + (f"&user_id={uid}" if uid else "")
        else:
            p = f"/v1/files/{t['tenant']}/{path}" + (f"?user_id={uid}" if uid else "")
        out.append(f"{p}\tBearer {k['key']}\n")
    return out


# ---------------------------------------------------------------- templates
def render(text, v):
    """@@name@@, line blocks '@@if name@@ .. [@@else@@ ..] @@end@@' and '@@each keys|tenants@@ .. @@end@@'."""
    out, stack = [], []  # stack entries: [kind, live, lines, name]
    for line in text.splitlines(keepends=True):
        m = re.match(r"\s*@@(if|each|else|end)(?: (\w+))?@@\s*$", line)
        if not m:
            (stack[-1][2] if stack and stack[-1][0] == "each" else out).append(line) if all(s[1] for s in stack) else None
            continue
        kind, name = m.groups()
        if kind == "if":
            stack.append(["if", bool(v[name]), None, name])
        elif kind == "each":
            stack.append(["each", True, [], name])
        elif kind == "else":
            stack[-1][1] = not stack[-1][1]
        else:
            s = stack.pop()
            if s[0] == "each":
                for row in v[s[3]]:
                    for ln in s[2]:
                        for a, b in row.items():
                            ln = ln.replace(f"@@{a}@@", str(b))
                        out.append(ln)
    s = "".join(out)
    for a, b in v.items():
        if not isinstance(b, list):
            s = s.replace(f"@@{a}@@", str(b))
    left = re.search(r"@@\w+@@", s)
    if left:
        raise SystemExit(f"unknown placeholder {left.group(0)} in a template")
    return s


# ---------------------------------------------------------------- processes
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    kids = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open(f"/proc/{d}/stat") as f:
                    kids.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(d))
            except OSError:
                pass
    todo, out = [pid], []
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def cpu_s(pids):
    t = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/stat") as f:
                a = f.read().rsplit(")", 1)[1].split()
            t += int(a[11]) + int(a[12])
        except OSError:
            pass
    return t / TICK


def mem_kib(pids):
    rss = pss = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                for ln in f:
                    if ln.startswith("Rss:"):
                        rss += int(ln.split()[1])
                    elif ln.startswith("Pss:"):
                        pss += int(ln.split()[1])
        except OSError:
            pass
    return rss, pss


def core_times():
    out = {}
    with open("/proc/stat") as f:
        for ln in f:
            a = ln.split()
            if re.fullmatch(r"cpu\d+", a[0]):
                x = [int(i) for i in a[1:9]]
                out[int(a[0][3:])] = {"busy": sum(x) - x[3] - x[4] - x[7], "steal": x[7], "softirq": x[6], "all": sum(x)}
    return out


class Proc:
    def __init__(self, cmd, workdir, env=None, cpus=None):
        self.log = os.path.join(workdir, "out.log")
        e = dict(os.environ)
        e.update(env or {})
        self.p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=open(self.log, "wb"), stderr=subprocess.STDOUT, env=e,
                                  preexec_fn=lambda: os.sched_setaffinity(0, cpus or CORES))
        self.pids = [self.p.pid]

    def refresh(self):
        self.pids = tree(self.p.pid)
        return self.pids

    def pin(self, cpus):
        for p in self.refresh():
            for t in os.listdir(f"/proc/{p}/task"):
                os.sched_setaffinity(int(t), cpus)

    def stop(self):
        if self.p.poll() is None:
            pids = self.refresh()
            self.p.terminate()
            try:
                self.p.wait(4)
            except subprocess.TimeoutExpired:
                for p in pids:
                    try:
                        os.kill(p, signal.SIGKILL)
                    except OSError:
                        pass
                self.p.wait(5)

    def tail(self):
        with open(self.log, "rb") as f:
            return f.read()[-1500:].decode("utf-8", "replace")


class Peer:
    def __init__(self, name):
        self.name, self.limiter = name, name != "caddy"

    def files(self):
        """(template, rendered name) pairs"""
        return {"nginx": [("nginx.conf.tmpl", "nginx.conf")],
                "haproxy": [("haproxy.cfg.tmpl", "haproxy.cfg"), ("haproxy.keys.map.tmpl", "keys.map"), ("haproxy.tenants.map.tmpl", "tenants.map")],
                "envoy": [("envoy.yaml.tmpl", "envoy.yaml")], "caddy": [("Caddyfile.tmpl", "Caddyfile")]}[self.name]

    def command(self, w, v):
        c = lambda f: os.path.join(w, f)
        return {"nginx": lambda: ([which("nginx"), "-c", c("nginx.conf"), "-p", w, "-e", c("error.log")], {}),
                "haproxy": lambda: ([which("haproxy"), "-db", "-f", c("haproxy.cfg")], {}),
                "envoy": lambda: ([envoy_bin(), "-c", c("envoy.yaml"), "--concurrency", str(v["workers"]), "--disable-hot-restart", "--log-level", "error"], {}),
                "caddy": lambda: ([which("caddy"), "run", "--config", c("Caddyfile"), "--adapter", "caddyfile"],
                                  {"GOMAXPROCS": str(v["workers"]), "GOGC": "400", "HOME": w, "XDG_DATA_HOME": w, "XDG_CONFIG_HOME": w})}[self.name]()

    def start(self, base, upstream_port, workers=1, log=False, rate=HIGH_RATE, cpus=None):
        w = tempfile.mkdtemp(prefix=self.name + "-", dir=base)
        v = {"workdir": w, "port": free_port(), "upstream_port": upstream_port, "workers": workers, "log": log, "rate": rate,
             "token": TOKEN, "keys": KEYS, "tenants": TENANTS, "keys_json": json.dumps(KEYS), "tenants_json": json.dumps(TENANTS)}
        for src, dst in self.files():
            with open(src if os.path.isabs(src) else os.path.join(TMPL, src)) as f:
                text = render(f.read(), v)
            with open(os.path.join(w, dst), "w") as f:
                f.write(text)
        cmd, env = self.command(w, v)
        pr = Proc(cmd, w, env, cpus)
        pr.port, pr.workdir, pr.name = v["port"], w, self.name
        end, last = time.time() + 20, ""
        while time.time() < end:
            if pr.p.poll() is not None:
                raise SystemExit(f"FAIL: {self.name} exited at start (rc {pr.p.returncode}):\n{pr.tail()}")
            try:
                st, _, body = req(pr.port, "/v1/files/tenant00/ready.txt", KEYS[15]["key"])
                if st == 200:
                    pr.refresh()
                    return pr
                last = f"{st} {body[:200]!r}"
            except OSError as e:
                last = str(e)
            time.sleep(0.05)
        pr.stop()
        raise SystemExit(f"FAIL: {self.name} not ready in 20 s (last answer: {last}):\n{pr.tail()}")


class Ours(Peer):
    """One more peer, from the environment: OURS_CMD, OURS_CONFIG, OURS_ENV, OURS_NAME (see README.md)."""
    def __init__(self):
        self.name, self.limiter = os.environ.get("OURS_NAME", "ours"), os.environ.get("OURS_LIMITER", "1") != "0"
        self.cfg = os.environ.get("OURS_CONFIG", "")

    def files(self):
        if not self.cfg:
            return []
        c = os.path.abspath(self.cfg)
        if os.path.isdir(c):
            return [(os.path.join(c, f), re.sub(r"\.tmpl$", "", f)) for f in sorted(os.listdir(c)) if os.path.isfile(os.path.join(c, f))]
        return [(c, re.sub(r"\.tmpl$", "", os.path.basename(c)))]

    def command(self, w, v):
        conf = ""
        if self.cfg:
            conf = w if os.path.isdir(self.cfg) else os.path.join(w, self.files()[0][1])
        def sub(s):
            for a, b in {"config": conf, "workdir": w, "port": v["port"], "upstream_port": v["upstream_port"], "workers": v["workers"],
                         "rate": v["rate"], "log": "on" if v["log"] else "off", "token": TOKEN}.items():
                s = s.replace("{" + a + "}", str(b))
            return s
        env = dict(kv.split("=", 1) for kv in shlex.split(sub(os.environ.get("OURS_ENV", ""))))
        return [sub(a) for a in shlex.split(os.environ["OURS_CMD"])], env


def which(name):
    for p in (os.path.join(CACHE, "bin", name), shutil.which(name)):
        if p and os.path.exists(p):
            return p
    raise SystemExit(f"FAIL: {name} not found: run setup.sh")


def envoy_bin():
    """The wheel's console script is Python: find the real binary, so that only Envoy itself is measured."""
    for root, _, fs in os.walk(os.path.join(CACHE, "lib")):
        if root.endswith(os.path.join("envoy", "_bin")) and "envoy" in fs:
            return os.path.join(root, "envoy")
    return which("envoy")


def start_upstream(base, cpus):
    w = tempfile.mkdtemp(prefix="upstream-", dir=base)
    by = {t["tenant"]: t for t in TENANTS}
    v = {"workdir": w, "port": free_port(), "token": TOKEN}
    for n in ("gone", "missing"):
        v[n + "_library"], v[n + "_space"] = by[n]["library"], by[n]["space"]
    with open(os.path.join(TMPL, "upstream.conf.tmpl")) as f, open(os.path.join(w, "nginx.conf"), "w") as g:
        g.write(render(f.read(), v))
    pr = Proc([which("nginx"), "-c", os.path.join(w, "nginx.conf"), "-p", w, "-e", os.path.join(w, "error.log")], w, cpus=cpus)
    pr.port = v["port"]
    for _ in range(100):
        try:
            upstream_count(pr.port)
            pr.refresh()
            return pr
        except OSError:
            time.sleep(0.05)
    raise SystemExit("FAIL: the mock upstream does not start:\n" + pr.tail())


def upstream_count(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    c.request("GET", "/__stat")
    n = int(c.getresponse().read().split(b"\n")[2].split()[2])
    c.close()
    return n


# ---------------------------------------------------------------- correctness
class LogUpstream:
    """Logging upstream: answers as the mock does, and keeps every request as it came over the wire."""
    def __init__(self):
        self.seen, self.conns, self.lock = [], 0, threading.Lock()
        self.s = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.s.getsockname()[1]
        by = {t["tenant"]: t for t in TENANTS}
        self.gone, self.missing = (f"/{by[n]['library']}/{by[n]['space']}/" for n in ("gone", "missing"))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            with self.lock:
                self.conns += 1
                n = self.conns
            threading.Thread(target=self.serve, args=(c, n), daemon=True).start()

    def serve(self, c, n):
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buf = b""
        try:
            while True:
                while b"\r\n\r\n" not in buf:
                    d = c.recv(65536)
                    if not d:
                        return
                    buf += d
                head, buf = buf.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ", 2)
                hd = [(a.strip().lower(), b.strip()) for a, b in (x.split(":", 1) for x in lines[1:])]
                for a, b in hd:
                    if a == "content-length":
                        while len(buf) < int(b):
                            buf += c.recv(65536)
                        buf = buf[int(b):]
                if target.startswith("/api/v1/token"):
                    body, st = json.dumps({"accessToken": TOKEN, "expiresIn": 86400}).encode(), "200 OK"
                else:
                    with self.lock:
                        self.seen.append({"method": method, "target": target, "headers": hd, "conn": n})
                    body, st = BODY200, "200 OK"
                    if self.gone in target:
                        body, st = b"", "204 No Content"
                    elif self.missing in target:
                        body, st = BODY404, "404 Not Found"
                h = f"HTTP/1.1 {st}\r\n" + ("" if st[:3] == "204" else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n") + "\r\n"
                c.sendall(h.encode() + body)
        except OSError:
            pass
        finally:
            c.close()

    def take(self):
        with self.lock:
            s, self.seen = self.seen, []
        return s


def req(port, target, key=None, conn=None, auth=None):
    c = conn or http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    h = {}
    if key or auth:
        h["Authorization"] = auth or "Bearer " + key
    c.request("DELETE", target, headers=h)
    r = c.getresponse()
    b = r.read()
    out = (r.status, {k.lower(): x for k, x in r.getheaders()}, b)
    if not conn:
        c.close()
    return out


CHECKS = ["rewrite+200", "relay 204", "relay 404", "401 bad key", "403 permanent=1", "user_id added", "headers", "429 per caller",
          "raw %-path", "pooled", "unknown tenant"]


def check_peer(peer, base):
    up = LogUpstream()
    pr = peer.start(base, up.port)
    by = {t["tenant"]: t for t in TENANTS}
    K, res, why = KEYS[0]["key"], {}, {}

    def target_ok(seen, tenant, path, uid=None):
        if len(seen) != 1:
            return f"upstream saw {len(seen)} requests"
        s, t = seen[0], by[tenant]
        p, _, q = s["target"].partition("?")
        want = f"/api/v1/file/{t['library']}/{t['space']}/{path}"
        wq = [("permanent", "0"), ("access_token", TOKEN)] + ([("user_id", uid)] if uid else [])
        if s["method"] != "DELETE" or p != want:
            return f"{s['method']} {p} instead of DELETE {want}"
        if sorted(urllib.parse.parse_qsl(q, keep_blank_values=True)) != sorted(wq):
            return f"query {q}"
        return ""

    def put(name, err):
        res[name], why[name] = ("pass" if not err else "FAIL"), err

    def local(name, want, *a, **kw):
        up.take()
        st, _, b = req(pr.port, *a, **kw)
        n = len(up.take())
        return "" if st in want and n == 0 else f"status {st}, upstream saw {n}"
    try:
        up.take()
        st, h, b = req(pr.port, "/v1/files/tenant03/a/b/c.txt?permanent=0", K)
        seen = up.take()
        e = target_ok(seen, "tenant03", "a/b/c.txt")
        if (st, b) != (200, BODY200) or not h.get("content-type", "").startswith("application/json"):
            e = e or f"answer {st} {b!r} {h.get('content-type')}"
        put("rewrite+200", e)
        hd = dict(seen[0]["headers"]) if seen else {}
        e = "" if hd.get("host") == f"127.0.0.1:{up.port}" else f"host {hd.get('host')}"
        if "authorization" in hd or any(K in x for x in hd.values()):
            e = "the caller's key reached the upstream"
        put("headers", e)
        st, h, b = req(pr.port, "/v1/files/gone/x.txt", K)
        put("relay 204", target_ok(up.take(), "gone", "x.txt") or ("" if (st, b) == (204, b"") else f"{st} {b!r}"))
        st, h, b = req(pr.port, "/v1/files/missing/x.txt", K)
        put("relay 404", target_ok(up.take(), "missing", "x.txt") or
            ("" if (st, b) == (404, BODY404) and h.get("content-type", "").startswith("application/json") else f"{st} {b!r}"))
        put("401 bad key", local("", (401,), "/v1/files/tenant00/x") or local("", (401,), "/v1/files/tenant00/x", "smhk_" + "0" * 40)
            or local("", (401,), "/v1/files/tenant00/x", auth="Basic " + K))
        put("403 permanent=1", local("", (403,), "/v1/files/tenant00/x?permanent=1", K) or local("", (403,), "/v1/files/tenant00/x?user_id=u1&permanent=1", K))
        st, h, b = req(pr.port, "/v1/files/tenant05/d/x.txt?permanent=0&user_id=u-42", K)
        put("user_id added", target_ok(up.take(), "tenant05", "d/x.txt", "u-42") or ("" if st == 200 else str(st)))
        st, h, b = req(pr.port, "/v1/files/tenant06/%E6%8A%A5/a%20b%26c%3Fd.txt?user_id=u1", K)
        put("raw %-path", target_ok(up.take(), "tenant06", "%E6%8A%A5/a%20b%26c%3Fd.txt", "u1") or ("" if st == 200 else str(st)))
        put("unknown tenant", local("", (400, 403, 404), "/v1/files/nosuch/x", K))
        cs = [http.client.HTTPConnection("127.0.0.1", pr.port, timeout=5) for _ in range(8)]
        e = ""
        for i in range(200):
            st, _, b = req(pr.port, f"/v1/files/tenant01/f{i}", K, conn=cs[i % 8])
            if st != 200:
                e = f"status {st}"
            if i % 8 == 0 and cs[i % 8].sock is None:
                e = "the proxy closed a keep-alive connection"
        nc = len({s["conn"] for s in up.take()})
        put("pooled", e or ("" if nc <= 16 else f"{nc} upstream connections for 200 requests"))
        pr.stop()
        if not peer.limiter:
            res["429 per caller"], why["429 per caller"] = "none", "no rate limiter"
        else:
            pr = peer.start(base, up.port, rate=LOW_RATE)
            up.take()
            c = http.client.HTTPConnection("127.0.0.1", pr.port, timeout=5)
            sts = [req(pr.port, "/v1/files/tenant00/x", K, conn=c)[0] for _ in range(40)]
            other = req(pr.port, "/v1/files/tenant00/x", KEYS[1]["key"])[0]
            n = len(up.take())
            ok = set(sts) == {200, 429} and sts.count(200) <= 3 * LOW_RATE and other == 200 and n == sts.count(200) + 1
            put("429 per caller", "" if ok else f"{sts.count(200)} x 200, {sts.count(429)} x 429, other caller {other}, upstream saw {n}, statuses {sorted(set(sts))}")
    finally:
        pr.stop()
        up.s.close()
    return res, {k: x for k, x in why.items() if x}


# ---------------------------------------------------------------- load
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


# ---------------------------------------------------------------- report
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


def versions(names):
    def v(cmd, rx):
        try:
            r = subprocess.run(cmd, capture_output=True, text=True)
            m = re.search(rx, r.stdout + r.stderr)
            return m.group(1) if m else "?"
        except OSError:
            return "?"
    out = {"wrk": v([which("wrk"), "-v"], r"wrk (\S+)"), "nginx (upstream)": v([which("nginx"), "-v"], r"nginx/(\S+)")}
    for n in names:
        if n == "nginx":
            out[n] = v([which(n), "-v"], r"nginx/(\S+)")
        elif n == "haproxy":
            out[n] = v([which(n), "-v"], r"version (\S+)")
        elif n == "envoy":
            out[n] = v([envoy_bin(), "--version"], r"/(\d+\.\d+\.\d+)/")
        elif n == "caddy":
            out[n] = v([which(n), "version"], r"v?(\S+)")
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--peers", default="direct,nginx,haproxy,envoy,caddy,ours", help="comma-separated; 'ours' counts only when OURS_CMD is set")
    ap.add_argument("--modes", default="w1,lat,w2,log,idle")
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
    names = [n for n in a.peers.split(",") if n and (n != "ours" or os.environ.get("OURS_CMD"))]
    peers = [None if n == "direct" else Ours() if n == "ours" else Peer(n) for n in names]
    base = tempfile.mkdtemp(prefix="proxy-bench-")
    os.chmod(base, 0o755)
    up = None
    try:
        with open("/proc/cpuinfo") as f:
            cpu = re.search(r"model name\s*:\s*(.*)", f.read())
        res = {"machine": {"cpu": cpu.group(1) if cpu else platform.machine(), "cores": len(CORES), "kernel": platform.release()},
               "versions": versions(names), "rounds": a.rounds, "secs": a.secs, "conns": a.conns, "think": a.think,
               "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "checks": {}, "check_failures": {}, "noise": {"discarded": 0}, "runs": []}
        if not a.skip_check:
            for p in peers:
                if p:
                    c, why = check_peer(p, base)
                    res["checks"][p.name] = c
                    if why:
                        res["check_failures"][p.name] = why
                    print(f"check {p.name:8s} " + "  ".join(f"{n}:{c.get(n)}" for n in CHECKS) + (f"  {why}" if why else ""), flush=True)
            if any("FAIL" in c.values() for c in res["checks"].values()):
                raise SystemExit("FAIL: a peer does not do the job: no figures are taken")
        if a.check_only:
            return
        files = {}
        for n in ("direct", "proxy"):
            files[n] = os.path.join(base, n + ".txt")
            with open(files[n], "w") as f:
                f.writelines(load_lines(n == "direct"))
        up = start_upstream(base, CORES)
        modes = [m for m in a.modes.split(",") if m]
        for rd in range(a.rounds):
            order = peers[rd % len(peers):] + peers[:rd % len(peers)]
            for m in modes:
                for p in order:
                    if p is None and m in ("log", "idle") or m == "idle" and rd >= 3:  # memory hardly varies: 3 rounds do
                        continue
                    r = idle_run(p, base, up, a.idle_conns) if m == "idle" else clean_run(p, m, a, base, up, files, res["noise"])
                    r["round"] = rd
                    res["runs"].append(r)
                    if m == "idle":
                        print(f"round {rd} idle {r['peer']:8s} RSS {r['rss_idle_kib']} -> {r['rss_conns_kib']} KiB", *r["errors"], flush=True)
                    else:
                        print(f"round {rd} {m:4s} {r['peer']:8s} {r['rps']:8.0f} rps  {r['cpu_us_per_req'] or 0:6.1f} us/req  proxy {r['proxy_cores'] or 0:4.2f} cores  "
                              f"core busy {' '.join(format(b, '.0%') for b in r['core_busy'].values())}  other {r['foreign_cores']:.2f} steal {r['steal']:.1%}  p50 {r['p50_us']} p99 {r['p99_us']} p99.9 {r['p999_us']} us", *r["errors"], flush=True)
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
