#!/usr/bin/env python3
"""How the CPU of a delete grows with callers, tenants, rules, limits and connections.

    cargo build --release && benches/growth.py [--secs 4] [--rounds 5]

Each row compares a small gateway with a large one, one after the other in each round, on the same machine: one worker
alone on the first core, wrk and nginx (as SMH) on the last. CPU is user and system time of the gateway's process. Needs
wrk and nginx (Debian), two cores, and a limit of open files above 22,000 for the last row.
"""
import argparse, hashlib, os, random, re, resource, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GATEWAY = os.path.join(ROOT, "target/release/smh-gateway")
CORES = sorted(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
LOAD = """
local lines, next = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    local path, key = line:match("^(%S+)\\t(%S+)$")
    lines[#lines + 1] = wrk.format("DELETE", path, { Authorization = "Bearer " .. key })
  end
end
function request()
  next = next % #lines + 1
  return lines[next]
end
"""
ROWS = {
    "callers": ({"callers": 16}, {"callers": 10_000}),
    "tenants": ({"tenants": 16}, {"tenants": 10_000}),
    "rules": ({"rules": 20}, {"rules": 1_000}),
    "limits, all charged": ({"limits": 1}, {"limits": 100}),
    "connections, 64 of them busy": ({"idle": 0}, {"idle": 9_936}),
}
USUAL = {"callers": 16, "tenants": 16, "rules": 20, "limits": 3, "idle": 0}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def key(number):
    return f"smhk-of-the-benchmark-{number:08d}"


def rule(number):
    """Of four kinds, as a policy of some size has them; the load meets none."""
    about = [
        f'tenants: ["t{number % 16}"], paths: ["archive/{number}/**"]',
        f'paths: ["originals/{number}/**"]',
        f'callers: ["c{number % 16}"], paths: ["exports/{number}/**"]',
        f'tenants: ["t{number % 16}"], paths: ["**/{number}.bak"]',
    ][number % 4]
    return f"  - {{ name: rule {number}, deny: {{ {about} }} }}\n"


def write_files(folder, size, port, upstream):
    tenants = [f"t{n}" for n in range(size["tenants"])]
    with open(os.path.join(folder, "token"), "w") as f:
        f.write("acctk-of-the-benchmark")
    with open(os.path.join(folder, "gateway.yaml"), "w") as f:
        f.write(f"listeners: [{{ address: 127.0.0.1:{port}, connections: 20000 }}]\nadmin: none\nworkers: 1\n")
        f.write(f'upstream: {{ url: "http://127.0.0.1:{upstream}" }}\nlog: {{ deletes: off }}\npolicy: policy.yaml\n')
        f.write("libraries: { lib: { token: { file: token } } }\ntenants:\n")
        f.writelines(f"  {t}: {{ library: lib, space: s{t} }}\n" for t in tenants)
        f.write("callers:\n")
        for n in range(size["callers"]):
            # Each has one tenant, the first one all: a file has at most 200,000 keys and values.
            mine = ", ".join(tenants) if n == 0 else f"t{n % 16}"
            f.write(f"  c{n}: {{ api_key: {{ sha256: {hashlib.sha256(key(n).encode()).hexdigest()} }}, tenants: [{mine}] }}\n")
    with open(os.path.join(folder, "policy.yaml"), "w") as f:
        f.write("rules:\n")
        f.writelines(rule(n) for n in range(size["rules"]))
        f.write("rate_limits:\n")
        for n in range(size["limits"]):
            per = ["caller", "tenant", "caller, tenant"][n % 3]
            f.write(f"  - {{ name: limit {n}, per: [{per}], limit: 1000000/s, burst: 1000000 }}\n")
    draw = random.Random(7)
    with open(os.path.join(folder, "load.txt"), "w") as f:
        for n in range(20_000):
            caller = 0 if len(tenants) > 16 else draw.randrange(size["callers"])
            tenant = draw.choice(tenants) if caller == 0 else f"t{caller % 16}"
            f.write(f"/v1/files/{tenant}/2026/q1/team-{n % 23}/report-{n:05d}.docx\t{key(caller)}\n")
    with open(os.path.join(folder, "load.lua"), "w") as f:
        f.write(LOAD)


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


def measure(size, upstream, secs):
    folder, port = tempfile.mkdtemp(), free_port()
    pin = lambda cores: lambda: os.sched_setaffinity(0, cores)
    idle = []
    write_files(folder, size, port, upstream)
    gateway = subprocess.Popen([GATEWAY, "serve", "--config", os.path.join(folder, "gateway.yaml")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pin([CORES[0]]))
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        for _ in range(size["idle"]):
            idle.append(socket.create_connection(("127.0.0.1", port)))
        load = ["wrk", "-t1", "-c64", "-s", os.path.join(folder, "load.lua"), f"http://127.0.0.1:{port}", "--", os.path.join(folder, "load.txt")]
        run = lambda s: subprocess.run(load[:1] + [f"-d{s}s"] + load[1:], capture_output=True, text=True, preexec_fn=pin([CORES[-1]])).stdout
        run(1)
        before = cpu(gateway.pid)
        out = run(secs)
        used = cpu(gateway.pid) - before
        deletes = int(re.search(r"(\d+) requests in", out).group(1))
        if "Non-2xx" in out or "Socket errors" in out or not deletes:
            raise SystemExit("not every delete went through:\n" + out)
        return used / deletes * 1e6, rss(gateway.pid)
    finally:
        for s in idle:
            s.close()
        gateway.send_signal(signal.SIGTERM)
        gateway.wait()
        shutil.rmtree(folder)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--secs", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    a = arguments.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder, upstream = tempfile.mkdtemp(), free_port()
    with open(os.path.join(folder, "nginx.conf"), "w") as f:
        f.write(f"worker_processes 1; daemon off; pid {folder}/pid; error_log /dev/null;\nevents {{ worker_connections 1024; }}\n"
                f"http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{upstream};\n"
                "  location / { default_type application/json; return 200 '{\"recycledItemId\":1221}'; } } }\n")
    nginx = subprocess.Popen(["nginx", "-c", os.path.join(folder, "nginx.conf"), "-e", "/dev/null"], stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: os.sched_setaffinity(0, [CORES[-1]]))
    try:
        print("| grows | from, µs | to, µs | times, same round | memory, MiB |\n|---|---|---|---|---|")
        for name, (small, large) in ROWS.items():
            pairs = [(measure(USUAL | small, upstream, a.secs), measure(USUAL | large, upstream, a.secs)) for _ in range(a.rounds)]
            median = lambda values: statistics.median(values)
            times = [after[0] / before[0] for before, after in pairs]
            (what, start), (_, end) = list(small.items())[0], list(large.items())[0]
            if what == "idle":
                start, end = start + 64, end + 64
            print(f"| {name}: {start:,} to {end:,} | {median([b[0] for b, _ in pairs]):.1f} | {median([g[0] for _, g in pairs]):.1f} | "
                  f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f}) | {median([b[1] for b, _ in pairs]):.0f} to {median([g[1] for _, g in pairs]):.0f} |", flush=True)
    finally:
        nginx.terminate()
        nginx.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
