"""Throwaway certificates, ECDSA P-256: one CA for callers and proxies, and what a proxy must not believe."""
import os, subprocess

# What a leaf is called: its CA, the names in it. Both hosts are this machine; only a name can be SNI.
LEAVES = {
    "proxy": ("ca", "DNS:localhost,IP:127.0.0.1"),
    "upstream": ("ca", "DNS:localhost"),
    "misnamed": ("ca", "DNS:elsewhere.test"),
    "untrusted": ("stranger", "DNS:localhost"),
}


def make(base):
    """The folder with ca.crt, and of each leaf NAME.crt, NAME.key, and NAME.pem with both (as HAProxy wants it)."""
    folder = os.path.join(base, "tls")
    if os.path.isdir(folder):
        return folder
    os.mkdir(folder)

    def openssl(name, subject, *more):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=" + subject, "-keyout", name + ".key", "-out", name + ".crt", *more], cwd=folder, check=True, capture_output=True)
    for ca in ("ca", "stranger"):
        openssl(ca, f"{ca} of the benchmark", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for leaf, (ca, names) in LEAVES.items():
        openssl(leaf, leaf, "-CA", ca + ".crt", "-CAkey", ca + ".key", "-addext", "subjectAltName=" + names, "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth")
        with open(os.path.join(folder, leaf + ".pem"), "w") as out:
            for ending in (".crt", ".key"):
                with open(os.path.join(folder, leaf + ending)) as part:
                    out.write(part.read())
    return folder
