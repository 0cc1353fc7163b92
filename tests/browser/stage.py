"""A gateway in front of a simulated SMH, each in a process of its own, for a browser to look at."""

import http.client
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import time

LIBRARY, ARCHIVE = "smhphotos0001", "smharchive0001"
SECRETS = {"app": "sentinel-key-of-app-0123456789", "janitor": "sentinel-key-of-janitor-0123456789"}
LIBRARY_SECRET = f"secret-of-{LIBRARY}"

GATEWAY = """\
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstream: { url: http://UPSTREAM, timeout: 2s }
libraries:
  smhphotos0001: { token: { mint: { library_secret: { file: library-secret }, period: 2h } } }
  smharchive0001: { token: { file: token } }
tenants:
  photos: { library: smhphotos0001, space: photos }
  invoices: { library: smhphotos0001, space: invoices }
  archive: { library: smharchive0001, space: old }
callers:
  thumbnailer: { api_key: { file: app.key }, tenants: [photos, invoices, archive] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, archive] }
workers: 1
shutdown: { delay: 0s, drain: 1s }
policy: policy.yaml
"""

POLICY = """\
permanent_deletes: by_rule
rules:
  - { name: legal hold, ticket: OPS-1234, deny: { paths: ["legal/**"] } }
  - { name: janitor may purge tmp, allow_permanent: { callers: [janitor], paths: ["tmp/**"] } }
rate_limits:
  - { name: per caller, per: [caller], limit: 400/s, burst: 800 }
  - { name: daily budget, per: [caller, tenant], limit: 50000/day, warn_at: 80% }
  - { name: invoices a day, per: [tenant], tenants: [invoices], limit: 40/day, warn_at: 90% }
"""


class Stage:
    """Use it in a `with`: its processes end with it."""

    def __init__(self, binary):
        self.binary = pathlib.Path(binary).resolve()
        self.processes = []
        self.folder = tempfile.TemporaryDirectory(prefix="smh-page-")
        self.path = pathlib.Path(self.folder.name)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self.folder.cleanup()

    def _start(self):
        # The spaces of the library are `photos`, `invoices` and, in the other one, `old`.
        out = self._spawn("simulate", "--listen", "127.0.0.1:0", "--library", LIBRARY, "--space", "photos")
        self.smh = _address(out.until("what it received"), r"simulated SMH on http://(\S+)")
        keeping = {"on": {"retention_days": 0}}
        self.control("POST", "libraries", id=ARCHIVE, secret="unused", recycle_bin=keeping)
        self.control("POST", "spaces", library=LIBRARY, space="invoices")
        self.control("POST", "spaces", library=ARCHIVE, space="old")
        token = self.control("POST", "tokens", library=ARCHIVE, grants=["delete_file"])["token"]
        self.secrets = [*SECRETS.values(), LIBRARY_SECRET, token]
        self.write("gateway.yaml", GATEWAY.replace("UPSTREAM", "%s:%d" % self.smh))
        self.write("policy.yaml", POLICY)
        self.write("library-secret", LIBRARY_SECRET)
        self.write("token", token)
        for who, key in SECRETS.items():
            self.write(f"{who}.key", key)
        self.serve()

    def serve(self):
        err = self._spawn("serve", "--config", "gateway.yaml", error=True)
        said = err.until("serving version=")
        self.data = _address(said, r"listening for deletes.*address=(\S+)")
        self.admin = _address(said, r"listening for operators.*address=(\S+)")
        self.gateway = self.processes[-1]

    def write(self, name, text):
        (self.path / name).write_text(text)

    def edit(self, name, before, after):
        text = (self.path / name).read_text()
        assert before in text, (before, text)
        # As editors do: never half a file.
        (self.path / f"{name}.new").write_text(text.replace(before, after))
        (self.path / f"{name}.new").rename(self.path / name)

    def control(self, method, resource, **body):
        status, answer = _ask(self.smh, method, f"/_simulator/{resource}", json.dumps(body))
        assert status == 200, answer
        return json.loads(answer)

    def put(self, *paths, library=LIBRARY, space="photos"):
        self.control("POST", "files", library=library, space=space, paths=list(paths))

    def files(self, library=LIBRARY, space="photos"):
        status, answer = _ask(self.smh, "GET", f"/_simulator/files?library={library}&space={space}")
        assert status == 200, answer
        return json.loads(answer)["files"]

    def delete(self, target, key=SECRETS["app"]):
        """The target is percent-encoded already."""
        return _ask(self.data, "DELETE", f"/v1/files/{target}", None, {"Authorization": f"Bearer {key}"})[0]

    def _spawn(self, *arguments, error=False):
        pipe = {"stderr" if error else "stdout": subprocess.PIPE}
        other = {"stdout" if error else "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([self.binary, *arguments], cwd=self.path, env={"SMH_GATEWAY_LOG_FORMAT": "text"}, **pipe, **other)
        self.processes.append(process)
        return _Output(process.stderr if error else process.stdout)


class _Output:
    """What comes out of a pipe, read by a thread of its own."""

    def __init__(self, pipe):
        self.lines, self.more = [], threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            with self.more:
                self.lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace")))
                self.more.notify_all()

    def until(self, what, patience=20):
        end = time.monotonic() + patience
        with self.more:
            while what not in (said := "".join(self.lines)):
                assert self.more.wait(end - time.monotonic()), f"no {what!r} in: {said}"
            return said


def _address(said, pattern):
    host, port = re.search(pattern, said).group(1).rsplit(":", 1)
    return host, int(port)


def _ask(address, method, target, body=None, fields=None):
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, target, body, fields or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
