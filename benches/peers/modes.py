"""The layouts in which the job is measured."""
from typing import NamedTuple


class Mode(NamedTuple):
    workers: int = 1
    pinned: bool = True    # the proxy alone on the first core, upstream and load on the last; or nothing pinned
    log: bool = False      # access log on
    think: bool = False    # callers pause between requests, instead of saturating the proxy
    tls: bool = False      # callers speak TLS to the proxy, and the proxy to the upstream
    h2: bool = False       # callers speak HTTP/2
    audit: bool = False    # the gateway's journal on; beside it nginx with its access log

    def protocol(self):
        return "HTTP/2 over TLS" if self.h2 else "TLS" if self.tls else "plain"


MODES = {
    "w1": Mode(),
    "lat": Mode(think=True),
    "w2": Mode(workers=2, pinned=False),
    "log": Mode(log=True),
    "audit": Mode(audit=True),
    "tls": Mode(tls=True),
    "tlsh2": Mode(tls=True, h2=True),
}
