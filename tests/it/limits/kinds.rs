//! A store by TLS, with a password, behind sentinels, as a cluster.

use std::fs;
use std::process::Command;

use super::*;
use crate::support::ports;

const POLICY: &str = "rate_limits:\n  - { name: a, per: [caller], tenants: [t1], limit: 8/day }\n  \
                      - { name: b, per: [tenant, library], tenants: [t1], limit: 9/day }\n";

/// Asks the store alone, so that what it does not decide is refused.
async fn gateway_on(store: &str, smh: &Smh, files: &[(&str, &str)]) -> Gateway {
    let yaml = yaml(store, "  when_unavailable: refuse\n");
    let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    for (name, content) in files {
        gateway.folder.write(name, content);
    }
    becomes_connected(&gateway, true).await;
    gateway
}

#[tokio::test]
async fn a_password_is_read_from_its_file_and_never_shown() {
    let smh = Smh::start().await;
    let redis = Redis::with(&["--requirepass", "sentinel-redis-password"]).await;
    let store = format!(
        "{{ url: \"redis://127.0.0.1:{}\", password: {{ file: redis.password }}, response_timeout: 1s }}",
        redis.port
    );
    let gateway =
        gateway_on(&store, &smh, &[("redis.password", "sentinel-redis-password\n")]).await;
    assert_eq!(passes(&gateway, 10).await, 8);
    for page in ["/", "/metrics", "/api/status", "/api/config", "/api/limits"] {
        let shown = String::from_utf8(gateway.admin(page).await.body).unwrap();
        assert!(!shown.contains("sentinel-redis"), "{page}: {shown}");
    }
    // A wrong one is told as that.
    gateway.folder.write("redis.password", "sentinel-wrong-password");
    redis.cli(&["-a", "sentinel-redis-password", "CLIENT", "KILL", "TYPE", "normal"]);
    becomes("it is told", async || {
        gateway.delete("/v1/files/t1/f").await;
        let status = gateway.admin("/api/status").await.json();
        status["rate_limit_store"]["last_fault"] == "password"
    })
    .await;
    assert!(!gateway.log.text().contains("sentinel-redis"));
}

#[tokio::test]
async fn a_store_by_tls_must_prove_who_it_is() {
    let smh = Smh::start().await;
    let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut redis = Redis::prepared_for_tls(&[
        "--tls-cert-file",
        "DIR/tls.crt",
        "--tls-key-file",
        "DIR/tls.key",
        "--tls-auth-clients",
        "no",
    ]);
    fs::write(redis.path("tls.crt"), ca.cert.pem()).unwrap();
    fs::write(redis.path("tls.key"), ca.signing_key.serialize_pem()).unwrap();
    redis.up().await;
    let store = |host: &str| {
        format!(
            "{{ url: \"rediss://{host}:{}\", ca_file: ca.pem, response_timeout: 1s }}",
            redis.port
        )
    };
    let pem = ca.cert.pem();
    let gateway = gateway_on(&store("localhost"), &smh, &[("ca.pem", &pem)]).await;
    assert_eq!(passes(&gateway, 10).await, 8);
    // Another name, and nobody that vouches.
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    for (host, pem) in [("127.0.0.1", pem), ("localhost", stranger)] {
        let yaml = yaml(&store(host), "  when_unavailable: refuse\n");
        let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
        gateway.folder.write("ca.pem", &pem);
        becomes("it is told", async || {
            let refused = gateway.delete("/v1/files/t1/f").await;
            assert_eq!(refused.code(), "RateLimitStoreUnavailable");
            let status = gateway.admin("/api/status").await.json();
            status["rate_limit_store"]["last_fault"] == "connect"
        })
        .await;
    }
}

#[tokio::test]
async fn a_cluster_keeps_all_limits_of_a_delete_in_one_slot() {
    let smh = Smh::start().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "DIR/nodes.conf"];
        nodes.push(Redis::with(&cluster).await);
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.address().to_string()).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(&addresses).args(["--cluster-yes"]);
    let created = create.output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    becomes("the cluster is well", async || {
        nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    })
    .await;
    let urls: Vec<_> = addresses.iter().map(|address| format!("\"redis://{address}\"")).collect();
    let store = format!("{{ cluster: [{}], response_timeout: 2s }}", urls.join(", "));
    let gateway = gateway_on(&store, &smh, &[]).await;
    assert_eq!(passes(&gateway, 10).await, 8);
    let keys: Vec<_> = nodes.iter().map(|node| node.cli(&["KEYS", "*:limit:*"])).collect();
    let held = keys.iter().filter(|keys| !keys.is_empty()).count();
    assert_eq!(held, 1, "{keys:?}");
    // A node of a cluster that is configured as a single server is told as that.
    let elsewhere = nodes.iter().zip(&keys).find(|(_, keys)| keys.is_empty()).unwrap().0;
    let yaml = yaml(&on(elsewhere), "  when_unavailable: refuse\n");
    let wrong = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    becomes("it is told", async || {
        wrong.delete("/v1/files/t1/f").await;
        let status = wrong.admin("/api/status").await.json();
        status["rate_limit_store"]["last_fault"] == "cluster"
    })
    .await;
}

#[tokio::test]
async fn sentinels_name_the_primary_and_another_one_after_it_died() {
    let smh = Smh::start().await;
    let mut primary = Redis::start().await;
    let port = primary.port.to_string();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]).await;
    becomes("replicated", async || replica.cli(&["INFO"]).contains("master_link_status:up")).await;
    let sentinel = Sentinel::start(primary.port).await;
    let store = format!(
        "{{ sentinel: {{ service: limits, urls: [\"redis://127.0.0.1:{}\"] }}, response_timeout: 1s }}",
        sentinel.port
    );
    becomes("it knows the replica", async || sentinel.knows_a_replica()).await;
    let gateway = gateway_on(&store, &smh, &[]).await;
    assert_eq!(passes(&gateway, 5).await, 5);
    becomes("replicated", async || replica.cli(&["DBSIZE"]) == primary.cli(&["DBSIZE"])).await;
    primary.kill();
    becomes("another primary", async || replica.cli(&["ROLE"]).starts_with("master")).await;
    becomes_connected(&gateway, true).await;
    assert_eq!(passes(&gateway, 10).await, 3, "what was used is known there");
}

/// One sentinel that decides by itself, and soon.
struct Sentinel {
    server: std::process::Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    async fn start(primary: u16) -> Self {
        let (port, folder) = (ports::free(), tempfile::TempDir::new().unwrap());
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor limits 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds limits 500\nsentinel failover-timeout limits 3000\n",
            folder.path().display()
        );
        fs::write(&file, settings).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let server = command.spawn().unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        becomes("the sentinel listens", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { server, port, _folder: folder }
    }

    fn knows_a_replica(&self) -> bool {
        let port = self.port.to_string();
        let asked = ["-p", &port, "SENTINEL", "REPLICAS", "limits"];
        let said = Command::new("redis-cli").args(asked).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("127.0.0.1")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
