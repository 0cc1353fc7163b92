//! The spans of a delete.

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::collector::{CLIENT, Collector, INTERNAL, Says, attributes, own};
use super::{PARENT, SECRET, TRACE, traceparent, yaml};
use crate::support::{
    Folder, GATEWAY_YAML, Gateway, KEY, Lines, Smh, TOKEN, becomes, load, ports, request,
};
use smh_gateway::run::Running;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// As [`Gateway::with`], with the library secret in its file.
async fn started(yaml: &str, policy: Option<&str>, smh: &Smh) -> Gateway {
    let folder = Folder::new(yaml, policy, smh.address);
    folder.write("secret", SECRET);
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    Gateway { running, folder, log }
}

fn children<'s>(spans: &'s [Span], parent: &Span) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

#[tokio::test]
async fn a_delete_is_a_tree_of_spans_with_its_waits_and_both_its_attempts() {
    let (smh, collector) = (Smh::start().await.with_file("a"), Collector::start(Says::thanks()));
    let resource = ", service_name: deletes, attributes: { deployment.environment.name: test }";
    let gateway = started(&yaml(&collector, resource), None, &smh).await;
    let rejected = Injection::once(Fault::InvalidAccessToken);
    smh.simulator.inject(rejected.when(Matcher::route(RouteKind::DeleteFile)));
    let asked = request("/v1/files/t1/a", &[&traceparent("01"), "X-Request-Id: one"]);
    assert_eq!(gateway.send(&asked).await.status(), 200);

    let spans = collector.deletes(1).await;
    let root = own(&spans).next().unwrap();
    assert_eq!(hex::encode(&root.trace_id), TRACE);
    assert_eq!(hex::encode(&root.parent_span_id), PARENT);
    assert_eq!(root.flags, 0x301, "sampled, and its parent is known to be elsewhere");
    assert_eq!(root.name, "DELETE /v1/files/{tenant}/{path}");
    assert!(!failed(root));
    let known = attributes(&root.attributes);
    let expected = json!({
        "http.request.method": "DELETE", "http.response.status_code": 200,
        "http.route": "/v1/files/{tenant}/{path}", "url.scheme": "http",
        "smh_gateway.request_id": "one", "smh_gateway.caller": "app", "smh_gateway.proof": "api_key",
        "smh_gateway.tenant": "t1", "smh_gateway.library": "smhxxx",
        "smh_gateway.permanent": false, "smh_gateway.outcome": "relayed",
    });
    assert_eq!(json!(known), expected);

    let children = children(&spans, root);
    assert_eq!(children.len() + 1, spans.len(), "all of it is one tree");
    let names = |kind: i32| {
        let of_kind = children.iter().filter(move |span| span.kind == kind);
        of_kind.map(|span| span.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(names(INTERNAL), ["journal", "token", "next token"]);
    assert_eq!(names(CLIENT), ["DELETE", "DELETE"]);
    for child in &children {
        assert_eq!((&child.trace_id, child.flags), (&root.trace_id, 0x101));
        assert!(root.start_time_unix_nano <= child.start_time_unix_nano);
        assert!(child.start_time_unix_nano <= child.end_time_unix_nano);
        assert!(child.end_time_unix_nano <= root.end_time_unix_nano, "{child:?} {root:?}");
    }
    let attempts = children.iter().filter(|span| span.kind == CLIENT);
    let attempts: Vec<_> =
        attempts.map(|span| (failed(span), attributes(&span.attributes))).collect();
    let attempt = |status: u16| {
        json!({
            "http.request.method": "DELETE", "server.address": smh.address.ip().to_string(),
            "server.port": smh.address.port(), "smh_gateway.library": "smhxxx",
            "http.response.status_code": status,
        })
    };
    let (mut first, mut second) = (attempt(403), attempt(200));
    first["error.type"] = json!("403");
    second["http.request.resend_count"] = json!(1);
    assert_eq!(json!(attempts), json!([[true, first], [false, second]]));

    let export = collector.exports().remove(0);
    let resource = attributes(&export.resource_spans[0].resource.as_ref().unwrap().attributes);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        json!(resource),
        json!({ "service.name": "deletes", "service.version": version, "deployment.environment.name": "test" })
    );
    assert_eq!(gateway.stop().await[0]["trace_id"], TRACE);
}

#[tokio::test]
async fn no_token_query_or_path_reaches_a_collector() {
    let (smh, collector) = (Smh::start().await.with_file("a"), Collector::start(Says::thanks()));
    let gateway = started(&yaml(&collector, ""), None, &smh).await;
    let rejected = Injection::once(Fault::InvalidAccessToken);
    smh.simulator.inject(rejected.when(Matcher::route(RouteKind::DeleteFile)));
    let minted = |smh: &Smh| smh.simulator.live_tokens().into_iter().map(|token| token.value);
    let mut secrets: Vec<_> = minted(&smh).collect();
    for target in [
        "/v1/files/t1/hidden-name?user_id=hidden-user",
        "/v1/files/t1/hidden-name?permanent=1",
        "/v1/files/t1/hidden-name?access_token=hidden-parameter",
        "/v1/files/hidden-name/../a",
        "/hidden-name",
    ] {
        gateway.delete(target).await;
    }
    let wrong = "DELETE /v1/files/t1/a HTTP/1.1\r\nHost: gateway\r\nX-Api-Key: hidden-key-of-nobody\r\n\r\n";
    assert_eq!(gateway.send(wrong).await.status(), 401);
    collector.deletes(6).await;
    secrets.extend(minted(&smh));
    secrets.extend([TOKEN, SECRET, KEY, "hidden", "access_token"].map(str::to_owned));
    assert!(secrets.len() >= 7, "tokens are among it: {secrets:?}");
    collector.with(|received| {
        for one in received {
            let all = [one.head.as_bytes(), &one.body].concat();
            for secret in &secrets {
                let found = memchr::memmem::find(&all, secret.as_bytes());
                assert_eq!(found, None, "{secret} in {}", String::from_utf8_lossy(&all));
            }
        }
    });
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_decides_whether_its_delete_is_traced_and_the_share_does_where_none_says() {
    let smh = Smh::start().await;
    for (share, untold) in [("0%", 0), ("100%", 1)] {
        let collector = Collector::start(Says::thanks());
        let yaml = yaml(&collector, &format!(", sample: {share}"));
        let gateway = started(&yaml, None, &smh).await;
        for fields in [vec![traceparent("00")], vec![], vec![traceparent("01")]] {
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            assert_eq!(gateway.send(&request("/v1/files/t1/none", &fields)).await.status(), 404);
        }
        let spans = collector.deletes(1 + untold).await;
        let lines = gateway.stop().await;
        // It has ended, so there is no more to come.
        let traces: Vec<_> = own(&spans).map(|span| hex::encode(&span.trace_id)).collect();
        assert_eq!(own(&collector.spans()).count(), 1 + untold, "{share}");
        assert_eq!((&lines[0]["trace_id"], &lines[2]["trace_id"]), (&TRACE.into(), &TRACE.into()));
        assert_eq!(traces.last().unwrap(), TRACE);
        match untold {
            0 => assert_eq!(lines[1].get("trace_id"), None, "there is no such trace"),
            _ => {
                assert_eq!(lines[1]["trace_id"], traces[0], "the log leads to the trace");
                assert_ne!(traces[0], TRACE);
                let root = own(&spans).next().unwrap();
                assert!(root.parent_span_id.is_empty(), "{root:?}");
            }
        }
    }
}

#[tokio::test]
async fn refusals_and_what_goes_wrong_are_told_as_they_are() {
    let collector = Collector::start(Says::thanks());
    let smh = Smh::start().await;
    let store = format!(
        "rate_limit_store: {{ redis: {{ url: \"redis://{}\" }}, replicas: 1 }}\n",
        ports::nobody()
    );
    let nowhere = GATEWAY_YAML.replace("UPSTREAM", &ports::nobody().to_string());
    let yaml = format!("{nowhere}{store}{}", super::traces(&collector.address, ""));
    let policy = "rules:\n  - { name: keep, deny: { paths: [\"keep/**\"] } }\nrate_limits:\n  - { name: daily, limit: 1000/day }\n";
    let gateway = started(&yaml, Some(policy), &smh).await;
    assert_eq!(gateway.delete("/v1/files/t1/keep/a").await.status(), 403);
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 502);
    let spans = collector.deletes(2).await;
    let of = |status: u16| {
        let is_it =
            |span: &&Span| attributes(&span.attributes)["http.response.status_code"] == status;
        own(&spans).find(is_it).unwrap()
    };
    let denied = attributes(&of(403).attributes);
    assert_eq!(denied["smh_gateway.rule"], "keep");
    assert_eq!(denied["smh_gateway.outcome"], "refused");
    assert!(!denied.contains_key("error.type") && !failed(of(403)), "it is no fault of ours");
    assert_eq!(children(&spans, of(403)), [] as [&Span; 0]);

    let lost = of(502);
    assert_eq!(attributes(&lost.attributes)["error.type"], "UpstreamUnreachable");
    assert!(failed(lost));
    let children = children(&spans, lost);
    let told: Vec<_> = children.iter().map(|span| (span.name.as_str(), failed(span))).collect();
    assert_eq!(told, [("limit store", true), ("token", false), ("DELETE", true)]);
    assert_eq!(attributes(&children[2].attributes)["error.type"], "unreachable");
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_that_outlasts_its_caller_is_told_as_one_in_vain() {
    let (smh, collector) = (Smh::start().await, Collector::start(Says::thanks()));
    let hang = Injection::forever(Fault::HangBeforeActing);
    smh.simulator.inject(hang.when(Matcher::route(RouteKind::IssueToken)));
    let yaml = yaml(&collector, "").replace("audit: { file: audit.jsonl }\n", "");
    let gateway = started(&yaml, None, &smh).await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, driver) = h2::client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // How it ends is no matter here.
        let _ = driver.await;
    });
    let request = http::Request::delete("http://gateway/v1/files/t1/a").header("x-api-key", KEY);
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    let in_flight = || gateway.running.gateway().in_flight().count();
    becomes("it waits for its token", async || in_flight() == 1).await;
    drop(response);
    tasks.shutdown().await;

    let spans = collector.deletes(1).await;
    let root = own(&spans).next().unwrap();
    let told = children(&spans, root).into_iter().map(|span| (span.name.as_str(), failed(span)));
    assert_eq!(told.collect::<Vec<_>>(), [("token", true)]);
    gateway.stop().await;
    let is_delete = |target: &String| target.starts_with("/api/v1/file/");
    assert!(!smh.targets().iter().any(is_delete), "{:?}", smh.targets());
}
