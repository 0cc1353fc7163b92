#!/usr/bin/env python3
"""How the CPU of a delete grows with callers, tenants, rules, limits and connections.

    cargo build --release && benches/growth.py [--secs 4] [--rounds 5]

Each row compares a small gateway with a large one, one after the other in each round, on the same machine: one worker
alone on the first core, wrk and nginx (as SMH) on the last. CPU is user and system time of the gateway's process. Needs
wrk and nginx (Debian), two cores, and a limit of open files above 11,000 for the last row. Load and measuring are those of `peers/`.
"""
import argparse, hashlib, os, random, resource, shutil, socket, statistics, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "benches/peers"))
from load import wrk
from peer import start_upstream
from process import CORES, Proc, cpu_s, free_port, mem_kib

GATEWAY = os.path.join(ROOT, "target/release/smh-gateway")
ROWS = {
    "callers": ({"callers": 16}, {"callers": 10_000}),
    "tenants": ({"tenants": 16}, {"tenants": 10_000}),
    "rules": ({"rules": 20}, {"rules": 1_000}),
    "limits, all charged": ({"limits": 1}, {"limits": 100}),
    "connections, 64 of them busy": ({"idle": 0}, {"idle": 9_936}),
}
USUAL = {"callers": 16, "tenants": 16, "rules": 20, "limits": 3, "idle": 0}


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
            f.write(f"/v1/files/{tenant}/2026/q1/team-{n % 23}/report-{n:05d}.docx\tBearer {key(caller)}\n")


def measure(size, upstream, secs, base):
    """CPU of a delete in microseconds, and the gateway's memory in MiB."""
    folder, port = tempfile.mkdtemp(dir=base), free_port()
    write_files(folder, size, port, upstream)
    gateway = Proc([GATEWAY, "serve", "--config", os.path.join(folder, "gateway.yaml")], folder, cpus=CORES[:1])
    idle = []
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        for _ in range(size["idle"]):
            idle.append(socket.create_connection(("127.0.0.1", port)))
        load = lambda s, check: wrk(port, os.path.join(folder, "load.txt"), s, 64, CORES[-1:], check=check)
        warm = load(1, True)
        gateway.refresh()
        before = cpu_s(gateway.pids)
        run = load(secs, False)
        used = cpu_s(gateway.pids) - before
        errors = sum(run[kind] for kind in ("connect", "read", "write", "status", "timeout"))
        if warm["bad"] or not warm["checked"] or errors or not run["requests"]:
            raise SystemExit(f"not every delete went through: {warm['first_bad']} {errors}\n" + gateway.tail())
        return used / run["requests"] * 1e6, mem_kib(gateway.pids)[0] / 1024
    finally:
        for connection in idle:
            connection.close()
        gateway.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--secs", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    a = arguments.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    base = tempfile.mkdtemp(prefix="growth-")
    os.chmod(base, 0o755)
    upstream = start_upstream(base, CORES[-1:])
    try:
        print("| grows | from, µs | to, µs | times, same round | memory, MiB |\n|---|---|---|---|---|")
        for name, (small, large) in ROWS.items():
            one = lambda size: measure(USUAL | size, upstream.port, a.secs, base)
            pairs = [(one(small), one(large)) for _ in range(a.rounds)]
            before, after = ([pair[side] for pair in pairs] for side in (0, 1))
            middle = lambda side, figure: statistics.median(measured[figure] for measured in side)
            times = [large_one[0] / small_one[0] for small_one, large_one in pairs]
            (what, start), (_, end) = list(small.items())[0], list(large.items())[0]
            busy = 64 if what == "idle" else 0
            print(f"| {name}: {start + busy:,} to {end + busy:,} | {middle(before, 0):.1f} | {middle(after, 0):.1f} | "
                  f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) | "
                  f"{middle(before, 1):.0f} to {middle(after, 1):.0f} |", flush=True)
    finally:
        upstream.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
