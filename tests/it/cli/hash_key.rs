//! Wrong usage, and `hash-key`.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::support::binary::{run, run_with_input};

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_how_it_is_used() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &[][..],
        &["check"],
        &["serve"],
        &["no-such-command"],
        &["serve", "--config"],
        &["check", "--config", "a", "--format", "xml"],
        &["serve", "--config", "a", "--no-such-flag"],
        &["demo", "twice"],
        &["simulate", "--listen", "here"],
    ] {
        let ran = run(folder.path(), arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("--help") || ran.err.contains("Usage:"), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let ran = run(folder.path(), arguments).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
    let ran = run(folder.path(), &["--version"]).await;
    assert_eq!(ran.out, format!("smh-gateway {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn hash_key_prints_what_the_configuration_takes() {
    let key = "an-api-key-0123456789";
    let wanted = "de7545b1b02f8126d4b3455465509ab2f0958f3eef798dd29b81752bf98c1207\n";
    for input in [key.to_owned(), format!("{key}\n"), format!("{key}\r\n")] {
        let ran = run_with_input(&["hash-key"], input.as_bytes()).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(ran.out, wanted);
    }
    let yaml = GATEWAY.replacen("file: app.key", &format!("sha256: {}", wanted.trim()), 1);
    assert_eq!(check_in(folder(yaml, None).path()).await.code, Some(0));
}

#[tokio::test]
async fn hash_key_repeats_no_key_that_is_given_as_an_argument() {
    let ran = run(Path::new("/"), &["hash-key", "sentinel-key-as-an-argument"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(!ran.err.contains("sentinel"), "{}", ran.err);
}

#[tokio::test]
async fn hash_key_refuses_what_is_no_key_and_repeats_nothing_of_it() {
    let [short, long, huge] = [15, 4097, 1 << 20].map(|length| "k".repeat(length));
    for (input, why) in [
        (&b""[..], "16 to 4096 bytes"),
        (b"\n", "16 to 4096 bytes"),
        (short.as_bytes(), "16 to 4096 bytes"),
        (long.as_bytes(), "16 to 4096 bytes"),
        (huge.as_bytes(), "16 to 4096 bytes"),
        (b"sentinel-key with-a-space", "one line of visible ASCII"),
        (b"sentinel-key-0123\nsentinel-key-0123\n", "one line of visible ASCII"),
        (b"sentinel-key-0123456789\n\n", "one line of visible ASCII"),
        (b"sentinel-key-\0-0123456789", "one line of visible ASCII"),
        (b"sentinel-key-\xff\xfe-0123456789", "one line of visible ASCII"),
        ("sentinel-kéy-0123456789".as_bytes(), "one line of visible ASCII"),
    ] {
        let ran = run_with_input(&["hash-key"], input).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert!(!ran.err.contains("sentinel") && !ran.err.contains("kkkk"), "{}", ran.err);
    }
}
