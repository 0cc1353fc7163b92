//! What a gateway says of itself: JSON or text, and how much of it.

use std::process::Command;

use serde_json::Value;

use super::*;
use crate::support::binary::{Binary, command};
use crate::support::{Folder, GATEWAY_YAML, Smh};

#[tokio::test]
async fn events_are_json_where_no_terminal_shows_them() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let mut serve = command(&folder.path(""), &["serve", "--config", "gateway.yaml"]);
    serve.env_remove("SMH_GATEWAY_LOG_FORMAT");
    let mut gateway = Binary::spawn(serve);
    gateway.says("\"message\":\"serving\"").await;
    let ran = gateway.stop().await;
    let events: Vec<Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |message: &str| events.iter().find(|event| event["message"] == message).unwrap();
    assert_eq!(
        (&said("serving")["level"], &said("serving")["workers"]),
        (&"INFO".into(), &2.into())
    );
    let warned = said("it likely does not do what was meant");
    assert!(warned["problem"].as_str().unwrap().contains("granted no tenant"), "{warned}");
    assert!(said("listening for deletes")["address"].as_str().unwrap().starts_with("127.0.0.1:"));
}

/// As `serve` where no terminal shows what it says, until it ends.
async fn ended(yaml: &str, smh: &Smh) -> String {
    let folder = Folder::new(yaml, None, smh.address);
    let mut serve = command(&folder.path(""), &["serve", "--config", "gateway.yaml"]);
    serve.env_remove("SMH_GATEWAY_LOG_FORMAT");
    let ran = Binary::spawn(serve).ended().await;
    assert_eq!(ran.code, Some(1));
    ran.err
}

#[tokio::test]
async fn why_a_gateway_cannot_serve_is_json_as_well() {
    let smh = Smh::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("  - address: {}\n", taken.local_addr().unwrap());
    let said = ended(&GATEWAY_YAML.replacen("  - address: 127.0.0.1:0\n", &at, 1), &smh).await;
    let events = said.lines().map(|line| serde_json::from_str(line).expect(line));
    let errors: Vec<Value> = events.filter(|event: &Value| event["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0]["error"].as_str().unwrap().contains("cannot listen on"), "{said}");
}

#[tokio::test]
async fn a_mistake_in_a_file_has_its_place_in_front_whoever_reads_it() {
    let smh = Smh::start().await;
    let said = ended(&format!("{GATEWAY_YAML}nonsense: 1\n"), &smh).await;
    let line = GATEWAY_YAML.lines().count() + 1;
    assert!(said.contains(&format!("gateway.yaml:{line}:1: ")), "{said}");
    assert!(said.lines().all(|line| !line.starts_with('{')), "{said}");
}

#[tokio::test]
async fn a_terminal_gets_text_one_line_a_delete() {
    let smh = Smh::start().await.with_file("a");
    let yaml = GATEWAY_YAML.replace(
        "address: 127.0.0.1:0\nupstream",
        "address: 127.0.0.1:0\n  allow_quit: true\nupstream",
    );
    let folder = Folder::new(&yaml, None, smh.address);
    let mut script = Command::new("script");
    let serve = format!("exec {} serve --config gateway.yaml", env!("CARGO_BIN_EXE_smh-gateway"));
    script.args(["-qefc", &serve, "/dev/null"]).current_dir(folder.path("")).env_clear();
    script.stdin(std::process::Stdio::null()).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    let mut terminal = Binary::spawn(script);
    let said = without_colours(&terminal.prints("serving").await);
    let address = |what: &str| {
        let line = said.lines().find(|line| line.contains(what)).unwrap();
        line.rsplit_once("address=").unwrap().1.trim().parse::<SocketAddr>().unwrap()
    };
    assert_eq!(delete(address("listening for deletes"), "/v1/files/t1/a").await.status(), 200);
    terminal.prints("relayed").await;
    let quit = "POST /quitquitquit HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    assert_eq!(send(address("listening for operators"), quit.as_bytes()).await.status(), 200);
    let all = without_colours(&terminal.ended().await.out);
    let deletes: Vec<_> = all.lines().filter(|line| line.contains("Z delete ")).collect();
    let [line] = deletes.as_slice() else { panic!("one line a delete: {all}") };
    for field in ["caller=app", "tenant=t1", "path=a", "status=200", "outcome=relayed"] {
        assert!(line.contains(&format!(" {field} ")), "{field} is not in {line}");
    }
}

fn without_colours(text: &str) -> String {
    let mut pieces = text.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn the_level_follows_the_file_while_the_gateway_runs() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let plain = std::fs::read_to_string(folder.path("gateway.yaml")).unwrap();
    let mut gateway = Binary::serve(&folder).await;
    let (data, admin) = (gateway.data[0], gateway.admin.unwrap());
    let unknown = async |id: &str| {
        let asked = format!(
            "DELETE /v1/files/t1/a HTTP/1.1\r\nHost: gateway\r\nX-Api-Key: nobody-has-this-key\r\n\
             X-Request-Id: {id}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(send(data, asked.as_bytes()).await.status(), 401);
    };
    unknown("as-it-started").await;
    for (level, count) in [("debug", 1), ("error", 2)] {
        folder.write("gateway.yaml", &format!("{plain}log: {{ level: {level} }}\n"));
        gateway.signal("HUP");
        let applied = format!("smh_gateway_config_reloads_total{{result=\"applied\"}} {count}\n");
        becomes("it is in force", async || {
            String::from_utf8(get(admin, "/metrics").await.body).unwrap().contains(&applied)
        })
        .await;
        unknown(&format!("at-{level}")).await;
        if level == "debug" {
            gateway.says("request_id=\"at-debug\"").await;
        }
    }
    let said = gateway.stop().await.err;
    assert!(!said.contains("as-it-started") && !said.contains("at-error"), "{said}");
    assert!(!said.contains("everything was finished"), "that is no error: {said}");
    assert!(!said.contains("only after a restart"), "{said}");
}
