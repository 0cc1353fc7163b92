//! Paths: from what a caller writes to what SMH deletes. The simulator decodes by code of its own.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{Answer, Gateway, Kept, LIBRARY, SPACE, Smh, request};

/// A gateway, and a caller's connection to it.
async fn start(smh: &Smh) -> (Gateway, Kept) {
    let gateway = Gateway::start(smh.address).await;
    let caller = Kept::open(gateway.address()).await;
    (gateway, caller)
}

fn code_of(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.code())
}

/// Written by a caller; the file it names.
const NAMES: &[(&str, &str)] = &[
    ("a/b.txt", "a/b.txt"),
    ("a%2Fb.txt", "a/b.txt"),
    ("a%2fb.txt", "a/b.txt"),
    ("%61%2Fb%2Etxt", "a/b.txt"),
    ("two%20words.txt", "two words.txt"),
    ("r%C3%A9sum%C3%A9.pdf", "résumé.pdf"),
    ("re%CC%81sume%CC%81.pdf", "re\u{301}sume\u{301}.pdf"),
    ("%E6%96%87%E4%BB%B6/%F0%9F%97%91.jpg", "文件/🗑.jpg"),
    ("a+b", "a+b"),
    ("a%2Bb", "a+b"),
    ("a%20b", "a b"),
    ("v;1", "v;1"),
    ("v%3B1", "v;1"),
    ("100%25", "100%"),
    ("a%2541", "a%41"),
    ("%252e%252e", "%2e%2e"),
    ("a%252Fb", "a%2Fb"),
    ("%25", "%"),
    ("a%3Fpermanent=1", "a?permanent=1"),
    ("a%3Fb", "a?b"),
    ("a%23b", "a#b"),
    ("a%26access_token%3Dx", "a&access_token=x"),
    ("a=b&c", "a=b&c"),
    ("a:b@c", "a:b@c"),
    ("!$'()*,", "!$'()*,"),
    ("~-._", "~-._"),
    ("{a}|b^c", "{a}|b^c"),
    ("%22%3C%3E%60", "\"<>`"),
    ("...", "..."),
    ("..a/.b", "..a/.b"),
    ("a..", "a.."),
    ("%20", " "),
    ("a%C2%A0b", "a\u{a0}b"),
    ("%E2%80%AEgpj.exe", "\u{202e}gpj.exe"),
    ("%EF%BC%8E%EF%BC%8E/x", "．．/x"),
    ("%E2%88%95", "∕"),
];

#[tokio::test]
async fn the_file_that_a_caller_names_is_the_file_that_is_gone() {
    let smh = Smh::start().await;
    let (_gateway, mut caller) = start(&smh).await;
    let named: BTreeSet<&str> = NAMES.iter().map(|(_, name)| *name).collect();
    for (written, name) in NAMES {
        for file in &named {
            smh.simulator.put_file(LIBRARY, SPACE, file);
        }
        let before: BTreeSet<String> = smh.files().into_iter().collect();
        let answer = caller.delete(&format!("/v1/files/t1/{written}")).await;
        assert_eq!(answer.status(), 200, "{written}: {:?}", answer.json());
        let after: BTreeSet<String> = smh.files().into_iter().collect();
        let gone: Vec<&String> = before.difference(&after).collect();
        assert_eq!(gone, [name], "{written}");
    }
    assert_eq!(smh.received().len(), NAMES.len());
}

#[tokio::test]
async fn smh_is_sent_one_canonical_form_whatever_a_caller_wrote() {
    let smh = Smh::start().await;
    let (_gateway, mut caller) = start(&smh).await;
    for written in ["%61+b;c/%C3%A9%7E", "a%2bb%3bc%2f%c3%a9~", "a+b;c%2F%c3%A9%7e"] {
        smh.simulator.clear_received();
        let _ = caller.delete(&format!("/v1/files/t1/{written}")).await;
        let target = smh.targets().remove(0);
        let (path, _) = target.split_once('?').unwrap();
        assert_eq!(path, "/api/v1/file/smhxxx/spacexxx/a%2Bb%3Bc/%C3%A9~", "{written}");
    }
}

/// What would empty the recycle bin or remove the space, if SMH folded it.
#[tokio::test]
async fn no_path_climbs_out_of_its_space() {
    let smh = Smh::start().await.with_file("a").with_file("recycled");
    let (_gateway, mut caller) = start(&smh).await;
    assert_eq!(caller.delete("/v1/files/t1/recycled").await.status(), 200);
    let (files, recycled) = (smh.files(), smh.simulator.recycled(LIBRARY, SPACE));
    assert_eq!((files.len(), recycled.len()), (1, 1));
    smh.simulator.clear_received();

    let dots = [
        "..",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "..;",
        "..;x=1",
        "%2e%2e%3b",
        "%2E.%3Bx",
        "%c0%ae%c0%ae",
        "..%00",
        "..%5c",
        "..\\",
    ];
    for dot in dots {
        for slash in ["/", "%2F", "%2f"] {
            let climb = [dot, dot, dot].join(slash);
            for written in [
                format!("{climb}{slash}recycled{slash}{LIBRARY}{slash}{SPACE}"),
                format!("a{slash}{dot}{slash}{climb}{slash}space{slash}{LIBRARY}{slash}{SPACE}"),
                format!("a{slash}{dot}"),
                dot.to_owned(),
            ] {
                let answer = caller.delete(&format!("/v1/files/t1/{written}")).await;
                assert_eq!(code_of(&answer), (400, "InvalidPath".into()), "{written}");
                assert_eq!(answer.outcome(), "not_sent");
            }
        }
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), files);
    assert_eq!(smh.simulator.recycled(LIBRARY, SPACE), recycled);
}

#[tokio::test]
async fn what_names_no_single_file_is_refused_and_reaches_nobody() {
    let smh = Smh::start().await.with_file("a/b");
    let (_gateway, mut caller) = start(&smh).await;
    for written in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "a/./b",
        "./a",
        "a/.",
        "%2Fa",
        "a%2F",
        "a%2F%2Fb",
        "a/%2e/b",
        "a\\b",
        "a%5Cb",
        "a%00",
        "%00",
        "a%0Ab",
        "a%0d%0aX:%20y",
        "a%1Fb",
        "a%7Fb",
        "a%C2%80b",
        "%",
        "a%",
        "a%2",
        "a%zz",
        "a%2G",
        "%u0061",
        "a%%32%65",
        "%ff",
        "%fe%ff",
        "%c1%81",
        "%ed%a0%80",
        "%f4%90%80%80",
        "a%E2%82",
    ] {
        let answer = caller.delete(&format!("/v1/files/t1/{written}")).await;
        assert_eq!(code_of(&answer), (400, "InvalidPath".into()), "{written}");
        assert_eq!(answer.outcome(), "not_sent");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ["a/b"]);
}

#[tokio::test]
async fn a_tenant_is_one_plain_segment_and_never_part_of_the_path() {
    let smh = Smh::start().await.with_file("a").with_file("t1/a");
    let (_gateway, mut caller) = start(&smh).await;
    for (target, code) in [
        ("/v1/files/t1", "InvalidPath"),
        ("/v1/files//t1/a", "InvalidPath"),
        ("/v1/files/T1/a", "TenantNotGranted"),
        ("/v1/files/%741/a", "TenantNotGranted"),
        ("/v1/files/t1%2Fa/a", "TenantNotGranted"),
        ("/v1/files/../a", "TenantNotGranted"),
        ("/v1/files/%2e%2e/t1/a", "TenantNotGranted"),
        ("/v1/files/t1;x/a", "TenantNotGranted"),
        ("/v1//files/t1/a", "UnknownRoute"),
        ("/v1/x/../files/t1/a", "UnknownRoute"),
        ("/v1%2Ffiles/t1/a", "UnknownRoute"),
        ("//v1/files/t1/a", "UnknownRoute"),
        ("/api/v1/file/smhxxx/spacexxx/a", "UnknownRoute"),
        ("*", "UnknownRoute"),
    ] {
        let answer = caller.delete(target).await;
        assert_eq!(answer.code(), code, "{target}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ["a", "t1/a"]);
}

/// A percent sign in a query must not smuggle a parameter to SMH either.
#[tokio::test]
async fn nothing_in_a_query_reaches_smh_but_what_the_gateway_writes() {
    let smh = Smh::start().await.with_file("a");
    let (_gateway, mut caller) = start(&smh).await;
    for query in [
        "upload",
        "permanent=1;permanent=0",
        "permanent=0&permanent=1",
        "permanent=%31",
        "permanent=0&x",
        "access_token=x",
        "library_secret=x",
        "user_id=%",
        "user_id=a%00",
        "permanent=0%26permanent=1",
        "permanent=0?permanent=1",
        "&",
        "permanent=0&",
    ] {
        let answer = caller.delete(&format!("/v1/files/t1/a?{query}")).await;
        assert_eq!(code_of(&answer), (400, "InvalidQuery".into()), "{query}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(caller.delete("/v1/files/t1/a?").await.status(), 200, "an empty query is none");
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn the_log_names_the_decoded_path() {
    let smh = Smh::start().await;
    let (gateway, mut caller) = start(&smh).await;
    let _ = caller.delete("/v1/files/t1/%E6%96%87%2F%22a%5D").await;
    drop(caller);
    let lines = gateway.stop().await;
    assert_eq!(lines[0]["path"], "文/\"a]");
    assert_eq!(lines[0]["smh_status"], 404);
}

/// A path, and one of the ways to write it.
#[derive(Debug, Clone)]
struct Written {
    name: String,
    target: String,
}

fn written() -> impl Strategy<Value = Written> {
    let segment = prop_oneof![
        "[a-zA-Z0-9._~-]{1,12}",
        "[ !-.:-~]{1,8}",
        "[%.;?#&+= ]{1,6}",
        "[^/\\\\\\p{Cc}]{1,6}",
        "(%[0-9a-fA-F]{2}){1,3}",
    ];
    let segment = segment.prop_map(|text| text.replace('\\', "")).prop_filter(
        "a segment is a name",
        |text| {
            let name = text.split(';').next().unwrap_or_default();
            !text.is_empty() && name != "." && name != ".."
        },
    );
    let name = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"));
    (name, prop::collection::vec(0u8..4, 1..64)).prop_map(|(name, choices)| {
        let target = write(&name, &choices);
        Written { name, target }
    })
}

/// Escapes what must be, and of the rest what the choices say, in either case of digits.
fn write(name: &str, choices: &[u8]) -> String {
    let mut target = String::new();
    for (byte, choice) in name.bytes().zip(choices.iter().cycle()) {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
        match (plain, choice) {
            (true, 0 | 1) => target.push(char::from(byte)),
            (_, 2) => target.push_str(&format!("%{byte:02x}")),
            (_, _) => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

#[test]
fn any_file_is_deleted_by_any_way_to_write_its_name_and_no_other_file_with_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let smh = runtime.block_on(Smh::start());
    let (_gateway, caller) = runtime.block_on(start(&smh));
    let state = std::cell::RefCell::new((caller, 0));
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&written(), |Written { name, target }| {
        let (caller, case) = &mut *state.borrow_mut();
        *case += 1;
        let folder = format!("case {case}");
        // Those that a mistake in decoding or encoding would hit.
        let neighbours = [name.to_lowercase(), target.clone(), name.replace('+', " ")];
        let neighbours = neighbours.iter().filter(|other| **other != name);
        for file in neighbours.chain([&name]) {
            smh.simulator.put_file(LIBRARY, SPACE, &format!("{folder}/{file}"));
        }
        let name = format!("{folder}/{name}");
        let before = smh.files();
        prop_assert!(before.contains(&name));
        let answer = runtime.block_on(async {
            let target = format!("/v1/files/t1/case%20{case}/{target}");
            caller.write(request(&target, &[]).as_bytes()).await;
            caller.answer().await
        });
        prop_assert_eq!(answer.status(), 200, "{:?}", answer.json());
        let wanted: Vec<String> = before.into_iter().filter(|file| *file != name).collect();
        prop_assert_eq!(smh.files(), wanted);
        Ok::<(), TestCaseError>(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

/// Reads a target a line, and writes the decoded path and query as hexadecimal digits.
const URLLIB: &str = "
import sys
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit
for line in sys.stdin:
    url = urlsplit('http://smh.example' + line.rstrip('\\n'))
    assert not url.fragment, line
    query = parse_qsl(url.query, keep_blank_values=True, strict_parsing=True)
    print(unquote_to_bytes(url.path).hex(), [name for name, _ in query] == ['permanent', 'access_token'])
";

/// Python's urllib is by others, and decodes by rules of its own.
#[tokio::test]
async fn another_reader_of_urls_finds_the_same_file_in_what_smh_is_sent() {
    let smh = Smh::start().await;
    let (_gateway, mut caller) = start(&smh).await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let mut wanted: Vec<String> = NAMES.iter().map(|(_, name)| (*name).to_owned()).collect();
    for (written, _) in NAMES {
        caller.delete(&format!("/v1/files/t1/{written}")).await;
    }
    for _ in 0..1_000 {
        let Written { name, target } = written().new_tree(&mut runner).unwrap().current();
        caller.delete(&format!("/v1/files/t1/{target}")).await;
        wanted.push(name);
    }
    let targets = smh.targets();
    assert_eq!(targets.len(), wanted.len());
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("targets");
    std::fs::write(&lines, targets.join("\n")).unwrap();
    let read = std::process::Command::new("python3")
        .args(["-c", URLLIB])
        .stdin(std::fs::File::open(&lines).unwrap())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read = String::from_utf8(read.stdout).unwrap();
    assert_eq!(read.lines().count(), wanted.len());
    for ((line, name), target) in read.lines().zip(&wanted).zip(&targets) {
        let path = format!("/api/v1/file/{LIBRARY}/{SPACE}/{name}");
        assert_eq!(line, format!("{} True", hex::encode(path)), "{target}");
    }
}
