//! A real Prometheus, on a free port of loopback, that scrapes one gateway. Stopped when it is dropped.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::monitoring;
use crate::support::{becomes, ports};

pub(super) struct Prometheus {
    server: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// With the rules, once it has scraped often enough to tell how fast something grows.
    pub(super) async fn watching(gateway: SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("prometheus.yml");
        let rules = monitoring("rules.yaml");
        std::fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [\"{}\"]\n\
                 scrape_configs:\n  - job_name: smh-gateway\n    static_configs: [{{ targets: [\"{gateway}\"] }}]\n",
                rules.display()
            ),
        )
        .unwrap();
        let address = ports::nobody();
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs prometheus (Debian)");
        let mut prometheus = Self { server, address, _folder: folder };
        becomes("Prometheus listens", async || {
            // Who answers at its address after it ended is somebody else.
            let ended = prometheus.server.try_wait().unwrap();
            assert!(ended.is_none(), "prometheus at {address}: {ended:?}");
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        prometheus.scrapes_again(1).await;
        prometheus
    }

    /// Waits until it has scraped so often from now on.
    pub(super) async fn scrapes_again(&self, times: u32) {
        let wanted = self.scraped().await + times;
        becomes("it is scraped", async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.scraped().await >= wanted
        })
        .await;
    }

    async fn scraped(&self) -> u32 {
        let found = self.query("count_over_time(up[1h]) and up == 1").await.unwrap_or_default();
        let count = found.first().and_then(|series| series["value"][1].as_str());
        count.map_or(0, |count| count.parse().unwrap())
    }

    /// What an expression comes to now, or what is wrong with it.
    pub(super) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await;
        match (answer["status"].as_str(), answer["data"]["result"].as_array()) {
            (Some("success"), Some(result)) => Ok(result.clone()),
            _ => Err(answer.to_string()),
        }
    }

    /// The rules as it evaluates them.
    pub(super) async fn rules(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// By HTTP/1.0, which has no chunks.
    async fn get(&self, target: &str) -> Value {
        let Ok(mut stream) = TcpStream::connect(self.address).await else { return Value::Null };
        let request = format!("GET {target} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // It says in words that it still starts.
        serde_json::from_str(body).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
