//! Certificates, keys and client CAs that are replaced while it runs.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, KEY};

/// Callers that delete without a pause until they are told to stop, each in its own way.
struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<usize>,
}

impl Load {
    /// By certificate or key; on a kept connection, on new ones, on resumed ones, by HTTP/2.
    fn start(stage: &Stage) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let address = stage.address();
        let key = format!("Authorization: Bearer {KEY}");
        for fields in [Vec::new(), vec![key]] {
            let config = || match fields.is_empty() {
                true => stage.caller(WHOLE),
                false => stage.anonymous(),
            };
            let always_full = || {
                let mut config = config();
                config.resumption = rustls::client::Resumption::disabled();
                config
            };
            let load =
                |config, kept| one_by_one(address, config, fields.clone(), kept, stopped.clone());
            tasks.spawn(load(config(), true));
            tasks.spawn(load(config(), false));
            tasks.spawn(load(always_full(), false));
        }
        for _ in 0..2 {
            tasks.spawn(by_http2(address, stage.caller(BELOW), stopped.clone()));
        }
        Self { stop, tasks }
    }

    /// How many deletes were answered. Panics if one was not.
    async fn stop(self) -> usize {
        self.stop.send_replace(true);
        self.tasks.join_all().await.into_iter().sum()
    }
}

async fn one_by_one(
    address: SocketAddr,
    config: ClientConfig,
    fields: Vec<String>,
    is_kept: bool,
    stopped: watch::Receiver<bool>,
) -> usize {
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let mut kept = open(address, &config).await;
    let mut answered = 0;
    while !*stopped.borrow() {
        if !is_kept {
            kept = open(address, &config).await;
        }
        assert_eq!(ask(&mut kept, "/v1/files/t1/a", &fields).await.status(), 404);
        answered += 1;
    }
    answered
}

async fn by_http2(
    address: SocketAddr,
    config: ClientConfig,
    stopped: watch::Receiver<bool>,
) -> usize {
    let mut http2 = Http2::open(address, &config).await;
    let mut answered = 0;
    while !*stopped.borrow() {
        assert_eq!(http2.delete("/v1/files/t1/a").await.unwrap().0, 404);
        answered += 1;
    }
    answered
}

/// Waits until new connections meet this certificate.
async fn in_force(stage: &Stage, server: &Identity) {
    until("the new certificate is in force", async || {
        let stream = handshake(stage.address(), &stage.anonymous()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap() == server.chain
    })
    .await;
}

#[tokio::test]
async fn certificates_are_replaced_under_load_and_no_delete_notices() {
    let stage = Stage::set().await;
    let load = Load::start(&stage);
    let between = stage.server_ca.intermediate();
    let mut longer = between.server();
    longer.pem.push_str(&between.pem);
    longer.chain.push(between.certificate);
    for next in [stage.server_ca.server(), longer, stage.server_ca.server()] {
        // Between the two, the pair does not match. Whether that is seen is a matter of luck.
        stage.files.put("tls.crt", &next.pem);
        stage.files.put("tls.key", &next.key.serialize_pem());
        in_force(&stage, &next).await;
    }
    // The order in which others do it, and for long enough to be seen.
    let next = stage.server_ca.server();
    stage.files.put("tls.key", &next.key.serialize_pem());
    stage.refresh().await;
    let unfit = "smh_gateway_tls_reloads_total{listener=\"127.0.0.1:0\",result=\"rejected\"}";
    assert!(stage.metric(unfit).await.unwrap() >= 1.0);
    stage.files.put("tls.crt", &next.pem);
    in_force(&stage, &next).await;

    let answered = load.stop().await;
    assert!(answered > 200, "that was no load: {answered}");
    assert_eq!(stage.smh.simulator.received().len(), answered);
    let taken = "smh_gateway_tls_reloads_total{listener=\"127.0.0.1:0\",result=\"accepted\"}";
    assert_eq!(stage.metric(taken).await, Some(4.0));
    assert_eq!(stage.handshakes_failed().await, 0.0);
    let lines = stage.stop().await;
    assert_eq!(lines.len(), answered);
    assert!(lines.iter().all(|line| line["outcome"] == "relayed"));
}

/// A folder as Kubernetes mounts a Secret: all of it is swapped at once, by one symbolic link.
struct Mount {
    folder: TempDir,
    version: usize,
}

impl Mount {
    fn new(server: &Identity, client_ca: &Ca) -> Self {
        let mut mount = Self { folder: TempDir::new().unwrap(), version: 0 };
        mount.swap(server, client_ca);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(PathBuf::from("..data").join(name), mount.at(name)).unwrap();
        }
        mount
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn swap(&mut self, server: &Identity, client_ca: &Ca) {
        let old = self.at(&format!("..{}", self.version));
        self.version += 1;
        let name = format!("..{}", self.version);
        let new = self.at(&name);
        fs::create_dir(&new).unwrap();
        fs::write(new.join("tls.crt"), &server.pem).unwrap();
        fs::write(new.join("tls.key"), server.key.serialize_pem()).unwrap();
        fs::write(new.join("ca.crt"), &client_ca.pem).unwrap();
        symlink(name, self.at("..data_tmp")).unwrap();
        fs::rename(self.at("..data_tmp"), self.at("..data")).unwrap();
        if old.exists() {
            fs::remove_dir_all(old).unwrap();
        }
    }
}

#[tokio::test]
async fn a_mounted_secret_is_swapped_under_load_and_no_delete_notices() {
    let (server_ca, client_ca) = (Ca::new(), Ca::new());
    let server = server_ca.server();
    let mut mount = Mount::new(&server, &client_ca);
    let smh = Smh::start().await;
    let gateway = Gateway::with(&yaml(mount.folder.path()), None, smh.address).await;
    let files = Files::new(&server, &[]);
    let stage = Stage { smh, server_ca, client_ca, server, files, gateway };
    let load = Load::start(&stage);
    for _ in 0..3 {
        let next = stage.server_ca.server();
        mount.swap(&next, &stage.client_ca);
        in_force(&stage, &next).await;
    }
    let answered = load.stop().await;
    assert!(answered > 200, "that was no load: {answered}");
    assert_eq!(stage.smh.simulator.received().len(), answered);
    let taken = "smh_gateway_tls_reloads_total{listener=\"127.0.0.1:0\",result=\"accepted\"}";
    assert_eq!(stage.metric(taken).await, Some(3.0));
    let unfit = "smh_gateway_tls_reloads_total{listener=\"127.0.0.1:0\",result=\"rejected\"}";
    assert_eq!(stage.metric(unfit).await, Some(0.0), "half old and half new is no news");
    assert_eq!(stage.stop().await.len(), answered);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one stage for every kind of file that will not do")]
async fn what_cannot_be_used_leaves_the_old_in_force_and_is_complained_about_once() {
    let (smh, server_ca, client_ca) = (Smh::start().await, Ca::new(), Ca::new());
    let server = server_ca.server();
    let files = Files::new(&server, &[&client_ca]);
    let folder = Folder::new(&files.yaml(), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let (address, admin) = (gateway.data[0], gateway.admin.unwrap());
    let config = client(&server_ca, Some(&client_ca.caller(WHOLE)), &VERSIONS);

    let next = server_ca.server();
    let yesterday = OffsetDateTime::now_utc() - time::Duration::days(1);
    let key = || KeyPair::from_pem(&next.key.serialize_pem()).unwrap();
    let expired = server_ca.issue_for(key(), |params| {
        params.subject_alt_names = vec![localhost()];
        params.not_after = yesterday;
    });
    let leaf = client_ca.caller(WHOLE);
    let steps: [(&dyn Fn(), &str); 8] = [
        (&|| files.put("tls.key", &next.key.serialize_pem()), "cannot be used together"),
        (&|| files.put("tls.crt", "garbage"), "tls.crt: holds no certificate in PEM"),
        (&|| fs::remove_file(files.0.path().join("tls.crt")).unwrap(), "tls.crt: cannot be read"),
        (&|| files.put("tls.crt", &expired.pem), "tls.crt: the certificate has expired"),
        (&|| files.put("tls.key", "garbage"), "tls.key: holds no private key in PEM"),
        (&|| files.put("tls.key", &next.pem), "tls.key: holds no private key in PEM"),
        (&|| fs::remove_file(files.0.path().join("tls.key")).unwrap(), "tls.key: cannot be read"),
        (&|| files.put("ca.crt", &leaf.pem), "ca.crt: holds a certificate that is no CA's"),
    ];
    let mut complaints = 0;
    for (nth, (step, complaint)) in steps.into_iter().enumerate() {
        if nth == 7 {
            files.put_pair(&server);
            gateway.says("it is well again what=\"TLS of listener 127.0.0.1:0\"").await;
        }
        let before = gateway.says("serving version=").await.matches(complaint).count();
        step();
        // The second garbage is no news: there is as little of a key in it as in the first.
        if nth != 5 {
            complaints += 1;
            let what = format!("{complaint} ({before} before)");
            until(&what, async || {
                gateway.says("serving version=").await.matches(complaint).count() > before
            })
            .await;
        }
        // Another round of looking, in which it is not complained about again.
        let other = format!("another-key-of-other-0123456789-{nth}");
        folder.write("other.key", &other);
        let rounds = "another API key was read from its file";
        until("another round", async || {
            gateway.says("serving version=").await.matches(rounds).count() == nth + 1
        })
        .await;

        let mut kept = open(address, &config).await;
        assert_eq!(kept.stream.get_ref().1.peer_certificates().unwrap(), server.chain);
        assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404, "{complaint}");
    }
    files.put_cas(&[&client_ca]);
    let last = server_ca.server();
    files.put_pair(&last);
    gateway.says("other TLS files are in force").await;
    let kept = open(address, &config).await;
    assert_eq!(kept.stream.get_ref().1.peer_certificates().unwrap(), last.chain);
    drop(kept);

    let metrics = crate::support::send(
        admin,
        b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n",
    )
    .await;
    let count = |result| {
        let labels = format!("{{listener=\"127.0.0.1:0\",result=\"{result}\"}}");
        sample_of(&metrics, &format!("smh_gateway_tls_reloads_total{labels}"))
    };
    assert_eq!(count("accepted"), Some(1.0));
    let ran = gateway.stop().await;
    // `put_pair` itself may be seen half-way.
    let said = ran.err.matches("changed files cannot be used").count();
    assert!((complaints..=complaints + 2).contains(&said), "{said}: {}", ran.err);
    assert_eq!(count("rejected"), Some(said as f64));
    assert_eq!(ran.deletes().len(), 8);
}

#[tokio::test]
async fn the_days_that_a_certificate_is_good_for_are_shown() {
    let stage = Stage::set().await;
    let sample = "smh_gateway_tls_certificate_expires_in_days{listener=\"127.0.0.1:0\"}";
    for days in [30, 400] {
        let next = stage.server_ca.issue(|params| {
            params.subject_alt_names = vec![localhost()];
            params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        });
        stage.files.put_pair(&next);
        stage.refresh().await;
        let shown = stage.metric(sample).await.unwrap();
        assert!((shown - days as f64).abs() < 0.01, "{shown}");
        let status = stage.gateway.admin("/api/status").await.json();
        let certificate = &status["certificates"][0];
        assert_eq!(certificate["listener"], "127.0.0.1:0");
        let shown = certificate["expires_in_days"].as_f64().unwrap();
        assert!((shown - days as f64).abs() < 0.01, "{shown}");
    }
}

#[tokio::test]
async fn callers_of_a_client_ca_that_has_gone_are_refused_on_kept_connections_too() {
    let stage = Stage::set().await;
    let another = Ca::new();
    let config = stage.caller(WHOLE);
    let mut kept = stage.open(&config).await;
    let mut unused = stage.open(&config).await;
    let mut http2 = Http2::open(stage.address(), &config).await;
    assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404);
    assert_eq!(http2.delete("/v1/files/t1/a").await.unwrap().0, 404);
    let mut anonymous = stage.open(&stage.anonymous()).await;
    let key = format!("Authorization: Bearer {KEY}");
    assert_eq!(ask(&mut anonymous, "/v1/files/t1/a", &[&key]).await.status(), 404);

    stage.files.put_cas(&[&another]);
    stage.refresh().await;
    for kept in [&mut kept, &mut unused] {
        let answer = ask(kept, "/v1/files/t1/a", &[]).await;
        assert_eq!((answer.status(), &*answer.code()), (401, "Unauthenticated"));
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(kept.until_closed().await.is_empty());
    }
    // HTTP/2 has no `Connection: close`, but the connection must not be kept either: the caller
    // would have no reason to show another certificate.
    let (status, body) = http2.delete("/v1/files/t1/a").await.unwrap();
    assert_eq!((status, &body["code"]), (401, &"Unauthenticated".into()));
    http2.until_closed().await;
    stage.refuses(&config, "the CA has gone").await;
    assert_eq!(stage.smh.received().len(), 3);

    assert_eq!(stage.send(&stage.with(&another.caller(WHOLE)), &[]).await.status(), 404);
    // Who showed none is not concerned.
    assert_eq!(ask(&mut anonymous, "/v1/files/t1/a", &[&key]).await.status(), 404);
    assert_eq!(stage.smh.received().len(), 5);
    let distrusted = ["", "", "client certificate: its CA is not trusted any more"];
    let mut wanted = vec![distrusted; 3];
    wanted.extend([["app", "api_key", ""]; 2]);
    wanted.extend([["whole", "spiffe_id", ""]; 3]);
    drop(anonymous);
    assert_eq!(told(&stage.stop().await), wanted);
}

#[tokio::test]
async fn callers_of_a_client_ca_that_stays_are_served_on() {
    let stage = Stage::set().await;
    let another = Ca::new();
    let mut old = stage.open(&stage.caller(WHOLE)).await;
    assert_eq!(ask(&mut old, "/v1/files/t1/a", &[]).await.status(), 404);
    let new = stage.with(&another.caller(BELOW));
    stage.refuses(&new, "not yet trusted").await;

    stage.files.put_cas(&[&stage.client_ca, &another]);
    stage.refresh().await;
    assert_eq!(ask(&mut old, "/v1/files/t1/a", &[]).await.status(), 404);
    let mut new = stage.open(&new).await;
    assert_eq!(ask(&mut new, "/v1/files/t1/a", &[]).await.status(), 404);

    // The first one goes, and comes back: it is what it was.
    stage.files.put_cas(&[&another]);
    stage.refresh().await;
    assert_eq!(ask(&mut new, "/v1/files/t1/a", &[]).await.status(), 404);
    stage.files.put_cas(&[&stage.client_ca, &another]);
    stage.refresh().await;
    assert_eq!(ask(&mut old, "/v1/files/t1/a", &[]).await.status(), 404);
    assert_eq!(stage.smh.received().len(), 5);
    let mut wanted = vec![["below", "spiffe_id", ""]; 2];
    wanted.extend([["whole", "spiffe_id", ""]; 3]);
    drop((old, new));
    assert_eq!(told(&stage.stop().await), wanted);
}

#[tokio::test]
async fn a_client_ca_is_withdrawn_even_where_the_certificate_beside_it_will_not_do() {
    let (stage, another) = (Stage::set().await, Ca::new());
    let old = stage.caller(WHOLE);
    let mut kept = stage.open(&old).await;
    assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404);
    stage.files.put("tls.key", "garbage");
    stage.files.put_cas(&[&another]);
    stage.refresh().await;
    assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 401);
    stage.refuses(&old, "a CA that has gone").await;
    let mut new = stage.open(&stage.with(&another.caller(WHOLE))).await;
    assert_eq!(ask(&mut new, "/v1/files/t1/a", &[]).await.status(), 404);
    assert_eq!(stage.smh.received().len(), 2);
    let counted = |result| {
        format!("smh_gateway_tls_reloads_total{{listener=\"127.0.0.1:0\",result=\"{result}\"}}")
    };
    assert_eq!(stage.metric(&counted("accepted")).await, Some(1.0));
    assert_eq!(stage.metric(&counted("rejected")).await, Some(1.0));
}
