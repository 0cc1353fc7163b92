//! What makes a journal provable: each record carries the hash of the one before, and its own.
//!
//! A line is `{"v":1,"journal":"…","seq":…,"prev":"…",BODY,"hash":"…"}`, where `hash` is the SHA-256 of
//! everything in front of `,"hash"`, and `prev` the `hash` of the record before. All of it but the body
//! stands at a fixed place, so that a line can be checked without reading its JSON.

use std::fmt;

use sha2::{Digest, Sha256};

/// The only version there is of a line.
pub(super) const VERSION: u64 = 1;

/// The SHA-256 of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash([u8; 32]);

/// One journal: what one gateway writes, over all its files and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalId([u8; 8]);

/// The last record of a journal at some time: whoever keeps it elsewhere can prove later that nothing
/// before it was changed or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose it is.
    pub journal: JournalId,
    /// Which record: the first is 1.
    pub seq: u64,
    /// Its hash.
    pub hash: RecordHash,
}

/// What is in front of the first record.
pub(super) const NOTHING: RecordHash = RecordHash([0; 32]);

impl RecordHash {
    /// Enough of it to tell two records apart that have one name.
    #[must_use]
    pub fn short(self) -> u64 {
        self.0.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
    }

    fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl JournalId {
    fn random() -> Self {
        Self(rand::random())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// `JOURNAL:SEQ:HASH`, as it is logged and as `audit verify --head` takes it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.journal, self.seq, self.hash)
    }
}

/// A text that is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is JOURNAL:SEQ:HASH, as the gateway logs it")]
pub struct NoHead;

impl std::str::FromStr for Head {
    type Err = NoHead;

    fn from_str(text: &str) -> Result<Self, NoHead> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(NoHead);
        let journal = JournalId::parse(next()?.as_bytes()).ok_or(NoHead)?;
        let seq = next()?.parse().map_err(|_| NoHead)?;
        let hash = RecordHash::parse(next()?.as_bytes()).ok_or(NoHead)?;
        if parts.next().is_some() { Err(NoHead) } else { Ok(Self { journal, seq, hash }) }
    }
}

impl Head {
    /// In front of the first record of a new journal.
    #[must_use]
    pub fn of_new() -> Self {
        Self { journal: JournalId::random(), seq: 0, hash: NOTHING }
    }

    /// Writes the line of the next record, of which `body` is what stands between the braces.
    pub fn seal(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.seq += 1;
        out.extend_from_slice(b"{\"v\":1,\"journal\":\"");
        push_hex(out, &self.journal.0);
        out.extend_from_slice(b"\",\"seq\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.seq).as_bytes());
        out.extend_from_slice(b",\"prev\":\"");
        push_hex(out, &self.hash.0);
        out.extend_from_slice(b"\",");
        out.extend_from_slice(body);
        self.hash = RecordHash::of(out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH);
        push_hex(out, &self.hash.0);
        out.extend_from_slice(b"\"}\n");
    }
}

fn push_hex<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or(b'0');
    let digits = bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    out.extend_from_slice(digits.as_flattened());
}

const HASH: &[u8] = b",\"hash\":\"";

/// `"}` ends a line.
const HASH_AT: usize = HASH.len() + 64 + 2;

/// A line that has the form of a record. Whether it is one, its hash says.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'l> {
    /// Whose it is.
    pub journal: JournalId,
    /// Which one.
    pub seq: u64,
    /// The hash of the one before, as it says.
    pub prev: RecordHash,
    /// Its own, as it says.
    pub hash: RecordHash,
    text: &'l [u8],
    body: &'l [u8],
}

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSealed {
    /// It is a record of a version that came later.
    Newer(u64),
    /// It is something else.
    Foreign,
}

impl<'l> Sealed<'l> {
    /// Of a line without its line feed.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn parse(text: &'l [u8]) -> Result<Self, NotSealed> {
        let version = version(text).ok_or(NotSealed::Foreign)?;
        if version != VERSION {
            return Err(NotSealed::Newer(version));
        }
        Self::parse_this(text).ok_or(NotSealed::Foreign)
    }

    fn parse_this(text: &'l [u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"{\"v\":1,\"journal\":\"")?;
        let (journal, rest) = rest.split_at_checked(16)?;
        let rest = rest.strip_prefix(b"\",\"seq\":")?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (seq, rest) = rest.split_at_checked(digits)?;
        let (prev, rest) = rest.strip_prefix(b",\"prev\":\"")?.split_at_checked(64)?;
        let rest = rest.strip_prefix(b"\",").filter(|rest| rest.first() == Some(&b'"'))?;
        let (body, tail) = rest.split_at_checked(rest.len().checked_sub(HASH_AT)?)?;
        let hash = tail.strip_prefix(HASH)?.strip_suffix(b"\"}")?;
        Some(Self {
            journal: JournalId::parse(journal)?,
            seq: str::from_utf8(seq).ok()?.parse().ok()?,
            prev: RecordHash::parse(prev)?,
            hash: RecordHash::parse(hash)?,
            text,
            body,
        })
    }

    /// The whole line.
    #[must_use]
    pub fn text(&self) -> &'l [u8] {
        self.text
    }

    /// What stands between what it says of the chain: it begins with the quote of a field's name.
    #[must_use]
    pub fn body(&self) -> &'l [u8] {
        self.body
    }

    /// Whether its hash is that of what it says.
    #[must_use]
    pub fn holds(&self) -> bool {
        let sealed = self.text.len().checked_sub(HASH_AT).and_then(|end| self.text.get(..end));
        sealed.is_some_and(|sealed| RecordHash::of(sealed) == self.hash)
    }

    /// The head of its journal when it was written.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { journal: self.journal, seq: self.seq, hash: self.hash }
    }
}

fn version(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(b"{\"v\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(head: &mut Head, body: &str) -> String {
        let mut out = Vec::new();
        head.seal(body.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_sealed_line_is_json_that_holds_and_follows_the_one_before() {
        let mut head = Head::of_new();
        let before = head;
        let lines = [sealed(&mut head, "\"a\":1"), sealed(&mut head, "\"b\":\",\\\"hash\\\":\"")];
        let read = lines.each_ref().map(|line| Sealed::parse(line.trim_end().as_bytes()).unwrap());
        assert!(read.iter().all(Sealed::holds));
        assert_eq!((read[0].seq, read[0].prev, read[1].seq), (1, before.hash, 2));
        assert_eq!((read[1].prev, read[1].head()), (read[0].hash, head));
        let json: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&json["a"], &json["seq"]), (&1.into(), &1.into()));
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(read.map(|read| read.body()), [&b"\"a\":1"[..], b"\"b\":\",\\\"hash\\\":\""]);
    }

    #[test]
    fn no_byte_of_a_line_can_be_changed() {
        let line = sealed(&mut Head::of_new(), "\"path\":\"a/b.jpg\"");
        let line = line.trim_end().as_bytes();
        for index in 0..line.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = line.to_vec();
                changed[index] ^= flip;
                // A hash may be written in capitals: it is the same one.
                let holds = Sealed::parse(&changed).is_ok_and(|sealed| sealed.holds());
                let in_hash = index >= line.len() - 66 && flip == 0x20;
                assert!(!holds || in_hash, "{}", String::from_utf8_lossy(&changed));
            }
        }
    }

    #[test]
    fn what_is_no_record_is_told_from_one_that_came_later() {
        let parse = |text: &str| Sealed::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(parse("{\"v\":2,\"x\":1}"), NotSealed::Newer(2));
        for text in ["", "{", "{\"v\":1}", "null", "{\"v\":1,\"journal\":\"", "{\"v\":x}"] {
            assert_eq!(parse(text), NotSealed::Foreign, "{text}");
        }
    }
}
