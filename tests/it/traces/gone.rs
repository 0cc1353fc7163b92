//! Collectors that are gone, hang, or want nothing.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;

use super::collector::{Collector, Says};
use super::traces;
use crate::support::{GATEWAY_YAML, Gateway, Smh, becomes, ports};

async fn metric(gateway: &Gateway, series: &str) -> u64 {
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().unwrap()
}

const REJECTED: &str = "smh_gateway_spans_dropped_total{reason=\"rejected\"}";

#[tokio::test]
async fn deletes_go_on_and_the_gateway_ends_where_a_collector_refuses_or_hangs() {
    let hangs = Collector::start(Says::Nothing);
    for address in [ports::nobody(), hangs.address] {
        let smh = Smh::start().await.with_file("a").with_file("b");
        let yaml = format!("{GATEWAY_YAML}{}", traces(&address, ""));
        let gateway = Gateway::with(&yaml, None, smh.address).await;
        assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
        if address == hangs.address {
            becomes("it is asked", async || hangs.with(|received| received.len() == 1)).await;
        }
        // While one batch is on its way to nowhere.
        assert_eq!(gateway.delete("/v1/files/t1/b").await.status(), 200);
        assert_eq!(smh.files(), [""; 0]);
        let began = Instant::now();
        assert_eq!(gateway.stop().await.len(), 2);
        // Far more than it takes, and far less than a collector could.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_a_collector_does_not_want_is_counted_and_not_sent_again() {
    let smh = Smh::start().await;
    let partial = ExportTracePartialSuccess { rejected_spans: 2, ..Default::default() };
    let partial = ExportTraceServiceResponse { partial_success: Some(partial) };
    let huge = vec![b'x'; 1 << 20];
    for (says, rejected, exported) in [
        (Says::Answer("400 Bad Request", b"what is this".to_vec()), 3, 0),
        (Says::Answer("200 OK", partial.encode_to_vec()), 2, 1),
        (Says::Answer("200 OK", b"\xff\xff\xff".to_vec()), 0, 3),
        (Says::Answer("302 Found", huge[..100].to_vec()), 3, 0),
    ] {
        let collector = Collector::start(says);
        let yaml = format!("{GATEWAY_YAML}{}", traces(&collector.address, ""));
        let gateway = Gateway::with(&yaml, None, smh.address).await;
        assert_eq!(gateway.delete("/v1/files/t1/none").await.status(), 404);
        becomes("what became of them is counted", async || {
            metric(&gateway, REJECTED).await
                + metric(&gateway, "smh_gateway_spans_exported_total").await
                == 3
        })
        .await;
        assert_eq!(metric(&gateway, REJECTED).await, rejected);
        assert_eq!(metric(&gateway, "smh_gateway_spans_exported_total").await, exported);
        gateway.stop().await;
        assert_eq!(collector.exports().len(), 1);
    }
}

#[tokio::test]
async fn what_a_collector_cannot_take_now_is_sent_again() {
    let smh = Smh::start().await;
    for says in [
        Says::Answer("503 Service Unavailable", Vec::new()),
        // More than is read of an answer.
        Says::Answer("200 OK", vec![0; 1 << 20]),
    ] {
        let collector = Collector::start(says);
        let yaml = format!("{GATEWAY_YAML}{}", traces(&collector.address, ""));
        let gateway = Gateway::with(&yaml, None, smh.address).await;
        assert_eq!(gateway.delete("/v1/files/t1/none").await.status(), 404);
        becomes("it is sent again", async || collector.exports().len() >= 2).await;
        let exports = collector.exports();
        assert_eq!(exports[0], exports[1]);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn exports_share_a_connection() {
    let (smh, collector) = (Smh::start().await, Collector::start(Says::thanks()));
    let yaml = format!("{GATEWAY_YAML}{}", traces(&collector.address, ""));
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    for count in 1..=2 {
        assert_eq!(gateway.delete("/v1/files/t1/none").await.status(), 404);
        collector.deletes(count).await;
    }
    assert_eq!((collector.exports().len(), collector.connections()), (2, 1));
    gateway.stop().await;
}
