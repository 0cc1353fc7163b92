"""Memory: at rest, and with open connections that do nothing."""
import socket, time
from caller import Connection, req
from job import BODY200, KEYS
from process import CORES, mem_kib


def idle_run(peer, base, up, conns):
    up.pin(CORES)
    pr = peer.start(base, up)
    socks = []
    try:
        c = Connection(pr)
        for i in range(50):
            assert req(pr, f"/v1/files/tenant01/f{i}", KEYS[i % 16]["key"], conn=c)[0] == 200
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
