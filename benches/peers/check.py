"""Whether a peer does the job: what its callers hear, and what the upstream got."""
import collections, json, os, socket, ssl, threading, time, urllib.parse
import certificates
from caller import handshake, many, req
from job import BODY200, BODY404, KEYS, LOW_RATE, TENANTS, TOKEN
from modes import Mode

class LogUpstream:
    """Logging upstream: answers as the mock does, and keeps every request as it came over the wire. In TLS it shows the certificate `leaf`."""
    def __init__(self, base, leaf=None):
        self.seen, self.conns, self.lock, self.tls = [], 0, threading.Lock(), None
        self.names, self.sessions, self.resumed, self.open = set(), collections.Counter(), 0, set()
        if leaf:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(os.path.join(certificates.make(base), leaf + ".pem"))
            self.tls.set_alpn_protocols(["http/1.1"])
            self.tls.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # as the upstream of the runs: what is negotiated there is seen here
            self.tls.sni_callback = lambda s, name, c: self.names.add(name)
        self.s = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.s.getsockname()[1]
        by = {t["tenant"]: t for t in TENANTS}
        self.gone, self.missing = (f"/{by[n]['library']}/{by[n]['space']}/" for n in ("gone", "missing"))
        threading.Thread(target=self.accept, daemon=True).start()

    def port_for(self, mode):
        return self.port

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
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
                with self.lock:
                    self.sessions[f"{c.version()} {c.cipher()[0]}"] += 1
                    self.resumed += c.session_reused
                    self.open.add(c)
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
            with self.lock:
                self.open.discard(c)
            c.close()

    def hang_up(self):
        """Ends all connections, as an upstream does that has kept them long enough."""
        with self.lock:
            for c in self.open:
                c.shutdown(socket.SHUT_RDWR)

    def take(self):
        with self.lock:
            s, self.seen = self.seen, []
        return s


CHECKS = ["rewrite+200", "relay 204", "relay 404", "401 bad key", "403 permanent=1", "user_id added", "headers", "429 per caller",
          "raw %-path", "pooled", "unknown tenant"]
TLS_CHECKS = ["TLS 1.3", "resumed", "upstream TLS 1.3, SNI", "untrusted upstream", "misnamed upstream"]


class Checks:
    """What was looked at of one peer in one protocol: `results` by name, `why` those that failed did, and `tls`: what was negotiated."""
    def __init__(self, peer, base, mode):
        self.peer, self.base, self.mode = peer, base, mode
        self.results, self.why, self.tls = {}, {}, ""
        self.up, self.pr, self.key = None, None, KEYS[0]["key"]

    def put(self, name, error):
        self.results[name] = "FAIL" if error else "pass"
        if error:
            self.why[name] = error

    def ask(self, target, key=None, auth=None):
        """The answer, and what the upstream saw for it."""
        self.up.take()
        answer = req(self.pr, target, key, auth=auth)
        return answer, self.up.take()

    def local(self, wanted, target, key=None, auth=None):
        """An error, unless the peer itself answered so and sent nothing."""
        (st, _, _), seen = self.ask(target, key, auth)
        return "" if st in wanted and not seen else f"status {st}, upstream saw {len(seen)}"


def target_error(seen, tenant, path, uid=None):
    if len(seen) != 1:
        return f"upstream saw {len(seen)} requests"
    s, t = seen[0], next(t for t in TENANTS if t["tenant"] == tenant)
    p, _, q = s["target"].partition("?")
    want = f"/api/v1/file/{t['library']}/{t['space']}/{path}"
    wq = [("permanent", "0"), ("access_token", TOKEN)] + ([("user_id", uid)] if uid else [])
    if s["method"] != "DELETE" or p != want:
        return f"{s['method']} {p} instead of DELETE {want}"
    if sorted(urllib.parse.parse_qsl(q, keep_blank_values=True)) != sorted(wq):
        return f"query {q}"
    return ""


def check_passed_on(c):
    K, is_json = c.key, lambda h: h.get("content-type", "").startswith("application/json")
    (st, h, b), seen = c.ask("/v1/files/tenant03/a/b/c.txt?permanent=0", K)
    c.put("rewrite+200", target_error(seen, "tenant03", "a/b/c.txt") or ("" if (st, b) == (200, BODY200) and is_json(h) else f"answer {st} {b!r} {h.get('content-type')}"))
    hd = dict(seen[0]["headers"]) if seen else {}
    e = "" if hd.get("host") == f"{'localhost' if c.mode.tls else '127.0.0.1'}:{c.up.port}" else f"host {hd.get('host')}"
    if "authorization" in hd or any(K in x for x in hd.values()):
        e = "the caller's key reached the upstream"
    c.put("headers", e)
    (st, h, b), seen = c.ask("/v1/files/gone/x.txt", K)
    c.put("relay 204", target_error(seen, "gone", "x.txt") or ("" if (st, b) == (204, b"") else f"{st} {b!r}"))
    (st, h, b), seen = c.ask("/v1/files/missing/x.txt", K)
    c.put("relay 404", target_error(seen, "missing", "x.txt") or ("" if (st, b) == (404, BODY404) and is_json(h) else f"{st} {b!r}"))
    (st, h, b), seen = c.ask("/v1/files/tenant05/d/x.txt?permanent=0&user_id=u-42", K)
    c.put("user_id added", target_error(seen, "tenant05", "d/x.txt", "u-42") or ("" if st == 200 else str(st)))
    (st, h, b), seen = c.ask("/v1/files/tenant06/%E6%8A%A5/a%20b%26c%3Fd.txt?user_id=u1", K)
    c.put("raw %-path", target_error(seen, "tenant06", "%E6%8A%A5/a%20b%26c%3Fd.txt", "u1") or ("" if st == 200 else str(st)))


def check_refused(c):
    K, x = c.key, "/v1/files/tenant00/x"
    c.put("401 bad key", c.local((401,), x) or c.local((401,), x, "smhk_" + "0" * 40) or c.local((401,), x, auth="Basic " + K))
    c.put("403 permanent=1", c.local((403,), x + "?permanent=1", K) or c.local((403,), x + "?user_id=u1&permanent=1", K))
    c.put("unknown tenant", c.local((400, 403, 404), "/v1/files/nosuch/x", K))


def check_pooled(c):
    c.up.take()
    statuses, made = many(c.pr, [f"/v1/files/tenant01/f{i}" for i in range(200)], c.key, 8)
    used, wrong = len({s["conn"] for s in c.up.take()}), [st for st in statuses if st != 200]
    e = f"status {wrong[0]}" if wrong else "the proxy closed a keep-alive connection" if made > 8 else ""
    c.put("pooled", e or ("" if used <= 16 else f"{used} upstream connections for 200 requests"))


def check_limit(c):
    c.up.take()
    statuses, _ = many(c.pr, ["/v1/files/tenant00/x"] * 40, c.key, 1)
    other = req(c.pr, "/v1/files/tenant00/x", KEYS[1]["key"])[0]
    n, passed = len(c.up.take()), statuses.count(200)
    ok = set(statuses) == {200, 429} and passed <= 3 * LOW_RATE and other == 200 and n == passed + 1
    c.put("429 per caller", "" if ok else f"{passed} x 200, {statuses.count(429)} x 429, other caller {other}, upstream saw {n}, statuses {sorted(set(statuses))}")


def check_tls(c):
    (version, cipher, alpn), resumed = handshake(c.pr)
    want = "h2" if c.mode.h2 else "http/1.1"
    c.put("TLS 1.3", "" if (version, alpn) == ("TLSv1.3", want) else f"{version}, {alpn} instead of {want}")
    c.put("resumed", "" if resumed else "a second connection made a session of its own")
    ok = c.up.names == {"localhost"} and c.up.sessions and all(s.startswith("TLSv1.3 ") for s in c.up.sessions)
    c.put("upstream TLS 1.3, SNI", "" if ok else f"names {c.up.names}, sessions {dict(c.up.sessions)}")
    before = sum(c.up.sessions.values())
    c.up.hang_up()
    for _ in range(20):
        if sum(c.up.sessions.values()) > before:
            break
        # One that was sent while the connection ended may fail, and tells nothing.
        req(c.pr, "/v1/files/tenant00/again.txt", c.key)
        time.sleep(0.05)
    c.tls = f"{cipher}; upstream {', '.join(s.split()[1] for s in c.up.sessions)}, {'resumed' if c.up.resumed else 'not resumed'}"


def check_disbelieved(c, leaf):
    """An upstream whose certificate is not right gets nothing, and its caller hears that."""
    c.up = LogUpstream(c.base, leaf)
    c.pr = c.peer.start(c.base, c.up, c.mode, ready=lambda status, body: True)
    wrong = [st for st in (req(c.pr, "/v1/files/tenant00/x", c.key)[0] for _ in range(3)) if st < 500]
    seen = c.up.take()
    c.put(leaf + " upstream", f"statuses {wrong}" if wrong else f"upstream saw {len(seen)}" if seen else "" if c.up.names else "no attempt at the upstream")


def check_peer(peer, base, mode=Mode()):
    c = Checks(peer, base, mode)
    try:
        c.up = LogUpstream(base, "upstream" if mode.tls else None)
        c.pr = peer.start(base, c.up, mode)
        for check in (check_passed_on, check_refused, check_pooled):
            check(c)
        if mode.tls:
            check_tls(c)
        c.pr.stop()
        if peer.limiter:
            c.pr = peer.start(base, c.up, mode, rate=LOW_RATE)
            check_limit(c)
            c.pr.stop()
        else:
            c.results["429 per caller"], c.why["429 per caller"] = "none", "no rate limiter"
        if mode.tls:
            for leaf in ("untrusted", "misnamed"):
                c.up.s.close()
                check_disbelieved(c, leaf)
                c.pr.stop()
    finally:
        if c.pr:
            c.pr.stop()
        if c.up:
            c.up.s.close()
    return c
