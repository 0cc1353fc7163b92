"""The job that all peers do: callers, tenants, the requests of the load, and the templates that all of it is written into."""
import hashlib, random, re

# Requests/s that each caller may make: none is ever refused, and the rate of the 429 check.
HIGH_RATE, LOW_RATE = 1000000, 5

_r = random.Random(1221)
_hex = lambda n: "".join(_r.choice("0123456789abcdef") for _ in range(n))
KEYS = [{"caller": f"caller{i:02d}", "key": "smhk_" + _hex(40)} for i in range(16)]
for k in KEYS:
    k["key_sha256"] = hashlib.sha256(k["key"].encode()).hexdigest()
TENANTS = [{"tenant": f"tenant{i:02d}", "library": "smh" + _hex(14), "space": "space" + _hex(14)} for i in range(14)]
TENANTS += [{"tenant": t, "library": "smh" + _hex(14), "space": "space" + _hex(14)} for t in ("gone", "missing")]
TOKEN = "acctk" + _hex(59)
BODY200 = b'{"recycledItemId":1221}'
BODY404 = b'{"code":"FileNotFound","message":"File not found.","requestId":"0123456789abcdef"}'


def load_lines(direct):
    """The request mix of the load runs: 512 requests, every 4th with a user_id, every 8th percent-encoded."""
    rnd, out = random.Random(7), []
    for i in range(512):
        t, k = TENANTS[rnd.randrange(14)], KEYS[rnd.randrange(16)]
        path = f"projects/2024/q{i % 4 + 1}/team-{i % 23:02d}/report-{i:04d}.docx"
        if i % 8 == 0:
            path = f"projects/2024/%E6%8A%A5%E5%91%8A/summary%20{i:04d}.docx"
        uid = f"user{i:05d}" if i % 4 == 0 else ""
        if direct:
            p = f"/api/v1/file/{t['library']}/{t['space']}/{path}?permanent=0&access_token={TOKEN}" + (f"&user_id={uid}" if uid else "")
        else:
            p = f"/v1/files/{t['tenant']}/{path}" + (f"?user_id={uid}" if uid else "")
        out.append(f"{p}\tBearer {k['key']}\n")
    return out


def render(text, v):
    """@@name@@, line blocks '@@if name@@ .. [@@else@@ ..] @@end@@' and '@@each keys|tenants@@ .. @@end@@'."""
    out, stack = [], []  # stack entries: [kind, live, lines, name]
    for line in text.splitlines(keepends=True):
        m = re.match(r"\s*@@(if|each|else|end)(?: (\w+))?@@\s*$", line)
        if not m:
            (stack[-1][2] if stack and stack[-1][0] == "each" else out).append(line) if all(s[1] for s in stack) else None
            continue
        kind, name = m.groups()
        if kind == "if":
            stack.append(["if", bool(v[name]), None, name])
        elif kind == "each":
            stack.append(["each", True, [], name])
        elif kind == "else":
            stack[-1][1] = not stack[-1][1]
        else:
            s = stack.pop()
            if s[0] == "each":
                for row in v[s[3]]:
                    for ln in s[2]:
                        for a, b in row.items():
                            ln = ln.replace(f"@@{a}@@", str(b))
                        out.append(ln)
    s = "".join(out)
    for a, b in v.items():
        if not isinstance(b, list):
            s = s.replace(f"@@{a}@@", str(b))
    left = re.search(r"@@\w+@@", s)
    if left:
        raise SystemExit(f"unknown placeholder {left.group(0)} in a template")
    return s
