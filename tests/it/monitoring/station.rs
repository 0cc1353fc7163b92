//! A gateway to which everything happens that is counted: the real binary, before a simulated SMH.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use smh_gateway::simulator::{Fault, Injection, RecycleBin};

use crate::callers::signer::{Signer, key_set};
use crate::support::binary::Binary;
use crate::support::{Answer, Folder, LIBRARY, Smh, becomes, ports, request, send};
use crate::tokens::SECRET;

const YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: { certificate: tls.crt, private_key: tls.key }
admin: { address: 127.0.0.1:0 }
upstream: { url: \"http://UPSTREAM\", connect_timeout: 1s, timeout: 3s }
libraries:
  smhxxx: { token: { mint: { library_secret: { file: secret } } } }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  lost: { library: smhxxx, space: nowhere }
callers:
  app: { api_key: { file: app.key }, tenants: [t1, lost] }
  job: { jwt: { issuer: cluster, subject: job }, tenants: [t1] }
jwt_issuers:
  cluster: { issuer: \"https://issuer.example\", audience: smh-gateway, jwks: { file: jwks.json } }
audit: { file: audit.jsonl }
rate_limit_store: { redis: { url: \"redis://NOBODY\" }, when_unavailable: local }
shutdown: { delay: 0s, drain: 2s }
";

const POLICY: &str = "\
permanent_deletes: by_rule
rules:
  - { name: keep, deny: { paths: [\"keep/**\"] } }
  - { name: seen, mode: shadow, deny: { paths: [\"seen/**\"] } }
rate_limits:
  - { name: daily, per: [caller, tenant], limit: 1000/day, warn_at: 80% }
  - { name: trial, limit: 1/h, burst: 1, mode: shadow }
";

pub(super) struct Station {
    smh: Smh,
    _folder: Folder,
    gateway: Binary,
}

impl Station {
    /// It runs, with all of its tokens.
    pub(super) async fn open() -> Self {
        let smh = Smh::start().await.with_file("a").with_file("b");
        let yaml = YAML.replace("NOBODY", &ports::nobody().to_string());
        let folder = Folder::new(&yaml, Some(POLICY), smh.address);
        folder.write("secret", SECRET);
        folder.write("jwks.json", &key_set(&[&Signer::new("k")]));
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        folder.write("tls.crt", &certified.cert.pem());
        folder.write("tls.key", &certified.signing_key.serialize_pem());
        let gateway = Binary::serve(&folder).await;
        let station = Self { smh, _folder: folder, gateway };
        becomes("ready", async || station.ask("/readyz", "").await.status() == 200).await;
        becomes("every token is there", async || {
            let of_pair = |name: &String| name.starts_with("smh_gateway_token_age_seconds{");
            station.samples().await.iter().filter(|name| of_pair(name)).count() == 3
        })
        .await;
        station
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.gateway.admin.unwrap()
    }

    /// One of everything: relayed, refused, failed, rejected by SMH, and what is worse than a failure.
    pub(super) async fn happen(&self) {
        for (target, status) in [
            ("/v1/files/t1/a", 200),
            ("/v1/files/t1/a", 404),
            ("/v1/files/t1/seen/a", 404),
            ("/v1/files/t1/keep/a", 403),
            ("/v1/files/t1/b?permanent=1", 403),
            ("/v1/files/t1/..", 400),
            ("/v1/files/lost/a", 404),
        ] {
            assert_eq!(self.delete(target).await.status(), status, "{target}");
        }
        let dry = request("/v1/files/t1/b", &["X-Dry-Run: 1"]);
        assert_eq!(self.send(&dry).await.status(), 202);
        let get = dry.replacen("DELETE", "GET", 1);
        assert_eq!(self.send(&get).await.status(), 405);
        self.smh.simulator.inject(Injection::once(Fault::CutBeforeActing));
        assert_eq!(self.delete("/v1/files/t1/b").await.status(), 502);
        self.smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
        assert_eq!(self.delete("/v1/files/t1/b").await.status(), 204);
        self.smh.simulator.inject(Injection::once(Fault::RateLimited));
        assert_eq!(self.delete("/v1/files/t1/b").await.status(), 429);
    }

    pub(super) async fn delete(&self, target: &str) -> Answer {
        self.send(&request(target, &[])).await
    }

    async fn send(&self, request: &str) -> Answer {
        send(self.gateway.data[0], request.as_bytes()).await
    }

    async fn ask(&self, path: &str, accept: &str) -> Answer {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        send(self.admin(), request.as_bytes()).await
    }

    /// What it exposes now, as OpenMetrics.
    pub(super) async fn families(&self) -> BTreeMap<String, Family> {
        let text = self.ask("/metrics", "application/openmetrics-text").await.body;
        families(std::str::from_utf8(&text).unwrap())
    }

    /// The same as Prometheus text.
    pub(super) async fn text(&self) -> String {
        String::from_utf8(self.ask("/metrics", "text/plain").await.body).unwrap()
    }

    /// The names that can be asked for, with their labels.
    pub(super) async fn samples(&self) -> BTreeSet<String> {
        let text = self.text().await;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    /// The names alone.
    pub(super) async fn names(&self) -> BTreeSet<String> {
        let samples = self.samples().await.into_iter();
        samples.map(|sample| sample.split('{').next().unwrap().to_owned()).collect()
    }

    pub(super) async fn close(self) {
        self.gateway.stop().await;
    }
}

/// A metric, whatever it is now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) unit: String,
    /// Those that are on every series.
    pub(super) always: BTreeSet<String>,
    /// Those that are on some.
    pub(super) sometimes: BTreeSet<String>,
}

/// Under the names that Prometheus has for them.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut labels: BTreeMap<String, Vec<BTreeSet<String>>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => {
                let suffix = match *kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                current = format!("{name}{suffix}");
                let (kind, unit) = ((*kind).to_owned(), String::new());
                let (always, sometimes) = (BTreeSet::new(), BTreeSet::new());
                let family = Family { kind, unit, always, sometimes };
                families.insert(current.clone(), family);
            }
            ["#", "UNIT", _, unit] => {
                families.get_mut(&current).unwrap().unit = (*unit).to_owned();
            }
            ["#", ..] => {}
            _ => labels.entry(current.clone()).or_default().push(labels_of(line)),
        }
    }
    for (name, of_series) in labels {
        let family = families.get_mut(&name).unwrap();
        let all: BTreeSet<_> = of_series.iter().flatten().cloned().collect();
        let on_all = |label: &String| of_series.iter().all(|labels| labels.contains(label));
        (family.always, family.sometimes) = all.into_iter().partition(on_all);
    }
    families
}

/// The names of its labels, but for a bucket's bound.
fn labels_of(sample: &str) -> BTreeSet<String> {
    let (series, _) = sample.rsplit_once(' ').unwrap();
    let Some((_, labels)) = series.split_once('{') else { return BTreeSet::new() };
    // No value here holds what follows a value.
    let names = labels.trim_end_matches('}').split("\",");
    let names = names.filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}
