//! Traces: what a collector gets, what it never gets, and that nothing waits for it.

mod collector;
/// The spans of a delete.
mod spans;
/// Collectors that are gone, hang, or want nothing.
mod gone;
/// `traces` of gateway.yaml.
mod settings;

use self::collector::Collector;
use crate::support::GATEWAY_YAML;

const SECRET: &str = "sentinel-library-secret";

/// A gateway that mints its token, keeps a journal, and tells this collector.
fn yaml(collector: &Collector, more: &str) -> String {
    let minted = "token: { mint: { library_secret: { file: secret } } }";
    let yaml = GATEWAY_YAML.replace("token: { file: token }", minted);
    format!("{yaml}{}{}", "audit: { file: audit.jsonl }\n", traces(&collector.address, more))
}

fn traces(address: &std::net::SocketAddr, more: &str) -> String {
    format!("traces: {{ otlp: {{ url: \"http://{address}/v1/traces\" }}{more} }}\n")
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}")
}
