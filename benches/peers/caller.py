"""One request, as a caller makes it."""
import http.client


def req(port, target, key=None, conn=None, auth=None):
    c = conn or http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    h = {}
    if key or auth:
        h["Authorization"] = auth or "Bearer " + key
    c.request("DELETE", target, headers=h)
    r = c.getresponse()
    b = r.read()
    out = (r.status, {k.lower(): x for k, x in r.getheaders()}, b)
    if not conn:
        c.close()
    return out
