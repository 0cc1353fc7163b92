//! The status page, and who may read it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::support::{Gateway, KEY, Smh};

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_script() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let answer = gateway.admin_as("/", browser).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body, gateway.admin("/").await.body, "whoever asks for anything");
    for (field, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.fields(field), [value], "{field}");
    }

    let page = String::from_utf8(answer.body.clone()).unwrap();
    let hash = |tag: &str| {
        let parts: Vec<_> = page.split(&format!("<{tag}>")).collect();
        assert_eq!(parts.len(), 2, "one <{tag}>");
        let text = parts[1].split(&format!("</{tag}>")).next().unwrap();
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
    };
    let policy = answer.field("content-security-policy").unwrap();
    let mut directives: Vec<_> = policy.split("; ").collect();
    directives.sort_unstable();
    let (script, style) = (hash("script"), hash("style"));
    let wanted = [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src data:",
        "require-trusted-types-for 'script'",
        &format!("script-src {script}"),
        &format!("style-src {style}"),
        "trusted-types 'none'",
    ];
    assert_eq!(directives, wanted);
    // Nothing is fetched from elsewhere, and nothing becomes markup.
    for word in [
        "<script ",
        "src=",
        "http://",
        "https://",
        "@import",
        "url(http",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        " style=",
        " onload=",
    ] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(word);
        assert!(!found, "{word}");
    }
    for placeholder in ["/*STYLE*/", "/*SCRIPT*/"] {
        assert!(!page.contains(placeholder));
    }
}

#[tokio::test]
async fn a_page_of_a_stranger_reads_nothing_through_an_operators_browser() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let admin = gateway.running.admin().unwrap();
    let asked = async |line: &str, host: &str, fields: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        crate::support::send(admin, request.as_bytes()).await.status()
    };
    let own = admin.to_string();
    let pages = ["/", "/api/status", "/api/config", "/api/limits", "/api/events"];
    for path in pages {
        let line = format!("GET {path}");
        // A name of theirs that they had resolved to this address.
        for host in ["evil.example", "evil.example:9901", "127.0.0.1.evil.example"] {
            assert_eq!(asked(&line, host, "").await, 421, "{path} {host}");
        }
        for site in ["cross-site", "same-site"] {
            let fields = format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: cors\r\n");
            assert_eq!(asked(&line, &own, &fields).await, 403, "{path} {site}");
        }
        let fields = "Origin: http://evil.example\r\n";
        assert_eq!(asked(&line, &own, fields).await, 403, "{path}");
    }
    let visit = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    let in_frame = format!("{visit}Sec-Fetch-Dest: iframe\r\n");
    let by_link = format!("{visit}Sec-Fetch-Dest: document\r\n");
    assert_eq!(asked("GET /", &own, &in_frame).await, 403);
    assert_eq!(asked("GET /", &own, &by_link).await, 200);
    assert_eq!(asked("POST /api/explain", &own, &by_link).await, 403);
    let same = format!("Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(asked("POST /api/explain", &own, &same).await, 400, "it is no question");
    for host in ["localhost", "[::1]:9901", "gw.media.svc.cluster.local:9901"] {
        assert_eq!(asked("GET /api/status", host, "Sec-Fetch-Site: none\r\n").await, 200, "{host}");
    }
    // Probes and scrapers ask by whatever name they were given.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(asked(&format!("GET {path}"), "gateway.example", "").await, 200, "{path}");
    }
}

#[tokio::test]
async fn no_secret_is_in_what_the_page_shows() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let guess = "sentinel-guess-0123456789";
    let wrong = format!(
        "DELETE /v1/files/t1/a HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {guess}\r\n\r\n"
    );
    assert_eq!(gateway.send(&wrong).await.status(), 401);
    let theirs = "acctksentineltheirs0123456789";
    let target = format!("/v1/files/t1/a?access_token={theirs}");
    assert_eq!(gateway.delete(&target).await.code(), "InvalidQuery");
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let mut watched = super::events::Watched::open(gateway.running.admin().unwrap()).await;
    let event = watched.next().await.unwrap();
    assert_eq!(event.parts["latest_refusals"].as_array().unwrap().len(), 2);
    let page = String::from_utf8(gateway.admin("/").await.body).unwrap();
    for shown in [page, event.parts.to_string()] {
        for secret in [crate::support::TOKEN, KEY, crate::support::OTHER_KEY, guess, theirs] {
            assert!(!shown.contains(secret), "{secret}");
        }
    }
}
