"""Processes that are measured: started, pinned, stopped, and what /proc says of them."""
import contextlib, os, re, signal, socket, subprocess, time

CORES = sorted(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")


def free_ports(n):
    with contextlib.ExitStack() as held:
        socks = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [s.getsockname()[1] for s in socks]


def free_port():
    return free_ports(1)[0]


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


def thread_s(pids):
    """CPU seconds, user and system, of each thread: {(pid, tid, name): seconds}. The scheduler's count, which is finer than the ticks of cpu_s."""
    out = {}
    for p in pids:
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/comm") as name, open(f"/proc/{p}/task/{t}/schedstat") as stat:
                    out[p, int(t), name.read().strip()] = int(stat.read().split()[0]) / 1e9
        except OSError:
            pass
    return out


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
        told, tell = os.pipe()

        def before():
            os.sched_setaffinity(0, cpus or CORES)
            os.write(tell, repr(time.monotonic()).encode())
        try:
            with open(self.log, "wb") as out:
                self.p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=e, preexec_fn=before)
            self.exec_at = float(os.read(told, 64))  # of time.monotonic()
        except FileNotFoundError as missing:
            raise SystemExit(f"FAIL: {missing.filename} is not there")
        finally:
            os.close(told)
            os.close(tell)
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
