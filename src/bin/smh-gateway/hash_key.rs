//! `hash-key`: from an API key to what the configuration holds of it.

use std::io::{self, Read};

use smh_gateway::authenticate::KeyDigest;
use smh_gateway::secret::Secret;

use crate::terminal::Terminal;
use crate::{Answer, Outcome};

/// Shorter keys can be guessed.
const MIN_BYTES: usize = 16;

/// No key is longer; a file that was piped in by mistake is.
const MAX_BYTES: usize = 4096;

pub(crate) fn run(terminal: &mut Terminal) -> Outcome {
    let mut bytes = Vec::with_capacity(MAX_BYTES + 2);
    io::stdin().take(MAX_BYTES as u64 + 2).read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let key = Secret::new(bytes);
    let bytes = key.expose();
    if !(MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) {
        return Err(format!("an API key has {MIN_BYTES} to {MAX_BYTES} bytes").into());
    }
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err("an API key is one line of visible ASCII characters".into());
    }
    terminal.line(KeyDigest::of(bytes).to_hex());
    Ok(Answer::Yes)
}
