"""The products, and the upstream behind them: where they are found, how they are started."""
import http.client, json, os, pathlib, platform, re, shlex, shutil, subprocess, tempfile, time
import certificates
from caller import req
from job import BODY200, HIGH_RATE, KEYS, TENANTS, TOKEN, render
from modes import Mode
from process import CORES, Proc, free_port, free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
TMPL = os.path.join(HERE, "peers")
CACHE = os.environ.get("BENCH_VENV") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "proxy-bench", "venv")


class Peer:
    def __init__(self, name):
        self.name, self.limiter, self.audits, self.journal = name, name != "caddy", name == "nginx", False

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

    def start(self, base, up, mode=Mode(), rate=HIGH_RATE, cpus=None, ready=lambda status, body: (status, body) == (200, BODY200), **more):
        """In front of the upstream `up`; back when a DELETE through it is answered as `ready` wants."""
        w, tls = tempfile.mkdtemp(prefix=self.name + "-", dir=base), certificates.make(base)
        v = {"workdir": w, "port": free_port(), "upstream_host": "localhost" if mode.tls else "127.0.0.1", "upstream_port": up.port_for(mode),
             "workers": mode.workers, "log": mode.log or mode.audit and not self.journal, "audit": mode.audit and self.journal, "tls": mode.tls, "certificates": tls, "rate": rate, "admin": False,
             "token": TOKEN, "keys": KEYS, "tenants": TENANTS, "keys_json": json.dumps(KEYS), "tenants_json": json.dumps(TENANTS)} | more
        for src, dst in self.files():
            with open(src if os.path.isabs(src) else os.path.join(TMPL, src)) as f:
                text = render(f.read(), v)
            with open(os.path.join(w, dst), "w") as f:
                f.write(text)
        cmd, env = self.command(w, v)
        pr = Proc(cmd, w, env, cpus)
        pr.port, pr.tls, pr.h2, pr.workdir, pr.name = v["port"], tls if mode.tls else None, mode.h2, w, self.name
        if ready:
            self.wait(pr, ready)
        return pr

    def wait(self, pr, ready):
        end, last = time.time() + 20, ""
        while time.time() < end:
            if pr.p.poll() is not None:
                raise SystemExit(f"FAIL: {self.name} exited at start (rc {pr.p.returncode}):\n{pr.tail()}")
            try:
                st, _, body = req(pr, "/v1/files/tenant00/ready.txt", KEYS[15]["key"])
                if ready(st, body):
                    pr.refresh()
                    return
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
        self.audits = self.journal = any("@@if audit@@" in pathlib.Path(f).read_text() for f, _ in self.files())

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
                         "rate": v["rate"], "log": "on" if v["log"] else "off", "token": TOKEN,
                         "tls": "on" if v["tls"] else "off", "certificates": v["certificates"]}.items():
                s = s.replace("{" + a + "}", str(b))
            return s
        env = dict(kv.split("=", 1) for kv in shlex.split(sub(os.environ.get("OURS_ENV", ""))))
        return [sub(a) for a in shlex.split(os.environ["OURS_CMD"])], env


def ours_by_default():
    """`ours` is the gateway of target/release with the files in `ours/`, where the environment does not say otherwise."""
    gateway = os.path.join(os.path.dirname(os.path.dirname(HERE)), "target/release/smh-gateway")
    for name, value in (("OURS_CMD", gateway + " serve --config {config}/gateway.yaml"), ("OURS_CONFIG", os.path.join(HERE, "ours")), ("OURS_NAME", "smh-gateway")):
        os.environ[name] = os.environ.get(name) or value
    os.environ.setdefault("OURS_ENV", "SMH_GATEWAY_LOG=error")


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


class Upstream(Proc):
    """nginx, which answers at three ports: in the clear, in TLS, and in TLS with HTTP/2 for what is measured without a proxy."""
    def __init__(self, base, cpus):
        w = tempfile.mkdtemp(prefix="upstream-", dir=base)
        by = {t["tenant"]: t for t in TENANTS}
        self.port, self.tls_port, self.h2_port = free_ports(3)
        v = {"workdir": w, "port": self.port, "tls_port": self.tls_port, "h2_port": self.h2_port, "certificates": certificates.make(base), "token": TOKEN}
        for n in ("gone", "missing"):
            v[n + "_library"], v[n + "_space"] = by[n]["library"], by[n]["space"]
        with open(os.path.join(TMPL, "upstream.conf.tmpl")) as f, open(os.path.join(w, "nginx.conf"), "w") as g:
            g.write(render(f.read(), v))
        super().__init__([which("nginx"), "-c", os.path.join(w, "nginx.conf"), "-p", w, "-e", os.path.join(w, "error.log")], w, cpus=cpus)

    def port_for(self, mode, direct=False):
        return self.h2_port if mode.h2 and direct else self.tls_port if mode.tls else self.port

    def count(self):
        """How many requests it has had, this one among them."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        c.request("GET", "/__stat")
        n = int(c.getresponse().read().split(b"\n")[2].split()[2])
        c.close()
        return n

    def settle(self):
        """Back when nothing more comes: what was cut off at the end of a load may still be under way."""
        n, quiet = self.count(), 0
        for _ in range(100):
            time.sleep(0.1)
            last, n = n, self.count()
            quiet = quiet + 1 if n == last + 1 else 0
            if quiet == 3:
                return


def start_upstream(base, cpus):
    up = Upstream(base, cpus)
    for _ in range(100):
        try:
            up.count()
            up.refresh()
            return up
        except OSError:
            time.sleep(0.05)
    raise SystemExit("FAIL: the mock upstream does not start:\n" + up.tail())


def circumstances(names):
    """What a reader of figures must know of them: machine, versions, when."""
    with open("/proc/cpuinfo") as f:
        cpu = re.search(r"model name\s*:\s*(.*)", f.read())
    return {"machine": {"cpu": cpu.group(1) if cpu else platform.machine(), "cores": len(CORES), "kernel": platform.release()},
            "versions": versions(names), "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def versions(names):
    def v(cmd, rx):
        try:
            r = subprocess.run(cmd, capture_output=True, text=True)
            m = re.search(rx, r.stdout + r.stderr)
            return m.group(1) if m else "?"
        except OSError:
            return "?"
    nginx = lambda: v([which("nginx"), "-v"], r"nginx/(\S+)")
    ask = {"nginx": nginx, "haproxy": lambda: v([which("haproxy"), "-v"], r"version (\S+)"), "envoy": lambda: v([envoy_bin(), "--version"], r"/(\d+\.\d+\.\d+)/"),
           "caddy": lambda: v([which("caddy"), "version"], r"v?(\S+)"), "ours": lambda: v([shlex.split(os.environ["OURS_CMD"])[0], "--version"], r"(\d\S*)")}
    out = {"wrk": v([which("wrk"), "-v"], r"wrk (\S+)"), "h2load": v([which("h2load"), "--version"], r"nghttp2/(\S+)"), "nginx (upstream)": nginx()}
    return out | {os.environ.get("OURS_NAME", n) if n == "ours" else n: ask[n]() for n in names if n in ask}
