"""Requests as callers make them: over HTTP/1.1, plain or in TLS, or over HTTP/2, which curl speaks."""
import http.client, os, re, socket, ssl, subprocess


def context(tls, *protocols):
    """For a caller that believes the benchmark's CA and nobody else."""
    c = ssl.create_default_context(cafile=os.path.join(tls, "ca.crt"))
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    c.set_alpn_protocols(list(protocols))
    return c


class Connection(http.client.HTTPConnection):
    """Kept, HTTP/1.1, to a proxy `pr`, in TLS where that has it."""
    def __init__(self, pr):
        super().__init__("127.0.0.1", pr.port, timeout=5)
        self.tls = pr.tls

    def connect(self):
        super().connect()
        if self.tls:
            self.sock = context(self.tls, "http/1.1").wrap_socket(self.sock, server_hostname="localhost")


def req(pr, target, key=None, conn=None, auth=None):
    """Status, header fields and body of one DELETE."""
    fields = {"Authorization": auth or "Bearer " + key} if key or auth else {}
    if pr.h2:
        return curl(pr, target, fields)
    c = conn or Connection(pr)
    try:
        c.request("DELETE", target, headers=fields)
        r = c.getresponse()
        return r.status, {k.lower(): x for k, x in r.getheaders()}, r.read()
    finally:
        if not conn:
            c.close()


def many(pr, targets, key, conns):
    """DELETEs one after the other, in turn over kept connections (one, of HTTP/2): their statuses, and how many connections were made."""
    if pr.h2:
        config = "".join(f'url = "https://localhost:{pr.port}{t}"\noutput = /dev/null\n' for t in targets)
        out = run_curl(pr, {"Authorization": "Bearer " + key}, ["-w", "%{http_code} %{http_version} %{num_connects}\n", "-K", "-"], config).decode()
        rows = [line.split() for line in out.splitlines()]
        if any(version != "2" for _, version, _ in rows):
            raise OSError("not HTTP/2")
        return [int(status) for status, _, _ in rows], sum(int(n) for _, _, n in rows)
    cs, made, statuses = [Connection(pr) for _ in range(conns)], 0, []
    for i, target in enumerate(targets):
        made += cs[i % conns].sock is None
        statuses.append(req(pr, target, key, conn=cs[i % conns])[0])
    for c in cs:
        c.close()
    return statuses, made


def run_curl(pr, fields, arguments, config=None):
    fields = [a for k, v in fields.items() for a in ("-H", f"{k}: {v}")]
    r = subprocess.run(["curl", "-q", "-sS", "--http2", "--tlsv1.3", "--cacert", os.path.join(pr.tls, "ca.crt"), "--max-time", "20", "--path-as-is", "-X", "DELETE",
                        *fields, *arguments], input=(config or "").encode(), capture_output=True)
    if r.returncode:
        raise OSError(r.stderr.decode("utf-8", "replace").strip())
    return r.stdout


def curl(pr, target, fields):
    head, _, body = run_curl(pr, fields, ["-i", f"https://localhost:{pr.port}{target}"]).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = re.fullmatch(r"HTTP/2 (\d+) ?", first)
    if not status:
        raise OSError(f"not HTTP/2: {first}")
    return int(status.group(1)), {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}, body


def handshake(pr):
    """What a caller's TLS is: (version, cipher, ALPN protocol), and whether a second connection resumed the session of a first."""
    c = context(pr.tls, *(["h2", "http/1.1"] if pr.h2 else ["http/1.1"]))

    def once(session):
        with socket.create_connection(("127.0.0.1", pr.port), timeout=5) as plain, \
                c.wrap_socket(plain, server_hostname="localhost", session=session) as s:
            told = (s.version(), s.cipher()[0], s.selected_alpn_protocol())
            s.settimeout(0.5)
            try:
                # Session tickets come after the handshake, some servers' only with what they answer.
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)) if pr.h2 else b"DELETE /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while s.recv(4096) and not (s.session and s.session.has_ticket):
                    pass
            except TimeoutError:
                pass
            return told, s.session_reused, s.session
    told, _, session = once(None)
    return told, bool(session) and once(session)[1]
