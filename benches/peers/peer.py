"""The products, and the upstream behind them: where they are found, how they are started."""
import http.client, json, os, re, shlex, shutil, subprocess, tempfile, time
from caller import req
from job import HIGH_RATE, KEYS, TENANTS, TOKEN, render
from process import Proc, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
TMPL = os.path.join(HERE, "peers")
CACHE = os.environ.get("BENCH_VENV") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "proxy-bench", "venv")


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
