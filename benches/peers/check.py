"""Whether a peer does the job: what its callers hear, and what the upstream got."""
import http.client, json, socket, threading, urllib.parse
from caller import req
from job import BODY200, BODY404, KEYS, LOW_RATE, TENANTS, TOKEN

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
