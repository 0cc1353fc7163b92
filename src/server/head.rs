//! Vets the bytes of an HTTP/1 request head before hyper sees them.
//!
//! Not a parser: nothing is taken from here but "whole and well-formed", or why not. hyper, like
//! most, forgives what RFC 9112 lets a server forgive (a bare LF, two equal lengths, a coding and a
//! length at once). A gateway that forgives what the next server reads in another way lets a second
//! request be smuggled behind the first.

use crate::byte_set::ByteSet;
use crate::refusal::{
    HeadExcess, MAX_FIELDS, MAX_NAME_BYTES, MAX_TARGET_BYTES, Refusal, RequestFault,
};

/// What the bytes so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vetted {
    /// The beginning of a head.
    Partial,
    /// A whole head of so many bytes.
    Whole {
        /// Of the head, with the empty line that ends it.
        bytes: usize,
        /// What follows.
        body: Body,
    },
    /// Nothing that may be answered but with this.
    Refused(Refusal),
}

/// What follows the head, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// Something, be it empty chunks.
    Some,
}

/// Goes on where it stopped when more bytes have come, so that a head that arrives byte by byte
/// costs no more than one that arrives at once.
#[derive(Debug)]
pub struct HeadVetting {
    /// Longest head, in bytes.
    most: usize,
    /// Where the line begins that is not yet whole.
    line_start: usize,
    /// Up to where that line was searched for its end.
    searched: usize,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    request_line: bool,
    old_version: bool,
    fields: usize,
    length: Option<Body>,
    chunked: bool,
}

impl HeadVetting {
    /// Of a head of at most so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, line_start: 0, searched: 0, seen: Seen::default() }
    }

    /// Looks at the head's bytes, of which there are at least as many as the last time.
    pub fn vet(&mut self, head: &[u8]) -> Vetted {
        loop {
            let rest = head.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', rest) else {
                self.searched = head.len();
                return self.partial(head);
            };
            let end = self.searched + found;
            let line = head.get(self.line_start..end).unwrap_or_default();
            (self.line_start, self.searched) = (end + 1, end + 1);
            if self.line_start > self.most {
                return Vetted::Refused(self.too_long(line.len()));
            }
            let Some(line) = line.strip_suffix(b"\r") else {
                return refused(RequestFault::LineEnd);
            };
            match self.seen.line(line) {
                Ok(false) => {}
                Ok(true) => return self.seen.whole(end + 1),
                Err(refusal) => return Vetted::Refused(refusal),
            }
        }
    }

    /// A line that has no end yet may already be too long.
    fn partial(&self, head: &[u8]) -> Vetted {
        let line = head.len() - self.line_start;
        let target_too_long = !self.seen.request_line && line > MAX_REQUEST_LINE_BYTES;
        if target_too_long || head.len() > self.most {
            Vetted::Refused(self.too_long(line))
        } else {
            Vetted::Partial
        }
    }

    fn too_long(&self, line: usize) -> Refusal {
        if !self.seen.request_line && line > MAX_REQUEST_LINE_BYTES {
            Refusal::TargetTooLong
        } else {
            Refusal::HeadersTooLarge(HeadExcess::Bytes(self.most))
        }
    }
}

impl Seen {
    /// Takes one line without its end; says whether it was the last.
    fn line(&mut self, line: &[u8]) -> Result<bool, Refusal> {
        if !self.request_line {
            self.request_line = true;
            self.old_version = request_line(line)?;
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(Refusal::HeadersTooLarge(HeadExcess::Fields));
        }
        let name_too_long = line.len() > MAX_NAME_BYTES
            && memchr::memchr(b':', line).is_some_and(|colon| colon > MAX_NAME_BYTES);
        if name_too_long {
            return Err(Refusal::HeadersTooLarge(HeadExcess::Name));
        }
        self.field(line).map(|()| false).map_err(Refusal::InvalidRequest)
    }

    /// RFC 9112, section 5: `name ":" OWS value OWS`, no white space around the name.
    fn field(&mut self, line: &[u8]) -> Result<(), RequestFault> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(RequestFault::FoldedField);
        }
        let colon = memchr::memchr(b':', line).ok_or(RequestFault::Field)?;
        let (name, value) = line.split_at_checked(colon).ok_or(RequestFault::Field)?;
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !TOKEN.has_all(name) {
            return Err(RequestFault::Field);
        }
        if !is_field_value(value) {
            return Err(RequestFault::Field);
        }
        // The shortest name that matters has 14 bytes; most are done here.
        if name.len() == b"content-length".len() && same_name(name, b"content-length") {
            return self.content_length(value.trim_ascii());
        }
        if name.len() == b"transfer-encoding".len() && same_name(name, b"transfer-encoding") {
            return self.transfer_encoding(name, value.trim_ascii());
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), RequestFault> {
        let digits = !value.is_empty()
            && value.len() <= MAX_LENGTH_DIGITS
            && value.iter().all(u8::is_ascii_digit);
        let body = if value.iter().all(|&digit| digit == b'0') { Body::None } else { Body::Some };
        if !digits || self.length.replace(body).is_some() {
            return Err(RequestFault::ContentLength);
        }
        self.one_length()
    }

    /// `transfer_encoding` is no field at all, but some servers take it for one.
    fn transfer_encoding(&mut self, name: &[u8], value: &[u8]) -> Result<(), RequestFault> {
        let ours = name.contains(&b'-') && value.eq_ignore_ascii_case(b"chunked");
        if !ours || self.old_version || std::mem::replace(&mut self.chunked, true) {
            return Err(RequestFault::TransferEncoding);
        }
        self.one_length()
    }

    /// RFC 9112, section 6.1: both at once is how requests are smuggled.
    fn one_length(&self) -> Result<(), RequestFault> {
        if self.chunked && self.length.is_some() {
            return Err(RequestFault::TransferEncoding);
        }
        Ok(())
    }

    fn whole(&self, bytes: usize) -> Vetted {
        let body = if self.chunked { Body::Some } else { self.length.unwrap_or(Body::None) };
        Vetted::Whole { bytes, body }
    }
}

/// RFC 9112, section 3: `method SP target SP version`. Says whether the version is 1.0.
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::InvalidRequest(RequestFault::RequestLine));
    };
    if method.is_empty() || target.is_empty() || !TOKEN.has_all(method) {
        return Err(Refusal::InvalidRequest(RequestFault::RequestLine));
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Refusal::InvalidRequest(RequestFault::Version)),
    };
    if target.len() > MAX_TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    if !TARGET.has_all(target) {
        return Err(Refusal::InvalidRequest(RequestFault::TargetCharacter));
    }
    Ok(old)
}

fn refused(fault: RequestFault) -> Vetted {
    Vetted::Refused(Refusal::InvalidRequest(fault))
}

/// `name` may have `_` where the other has `-`.
fn same_name(name: &[u8], other: &[u8]) -> bool {
    name.iter().zip(other).all(|(&byte, &wanted)| {
        byte.to_ascii_lowercase() == wanted || (byte == b'_' && wanted == b'-')
    })
}

/// RFC 9110, section 5.6.2.
static TOKEN: ByteSet = ByteSet::alphanumeric().with(b"!#$%&'*+-.^_`|~");

/// RFC 9110, section 5.5: visible characters, white space, and what is not ASCII. Computed, not looked up: so
/// many are looked at at once.
fn is_field_value(value: &[u8]) -> bool {
    value.iter().fold(true, |all, &byte| all & ((byte == b'\t') | (byte >= b' ')) & (byte != 0x7F))
}

/// What may stand in a target as it is. More than RFC 3986 allows, because URL libraries leave some
/// of it as it is; not `#`, behind which hyper would cut the target off without a word.
static TARGET: ByteSet = ByteSet::graphic().without(b"\"#<>`");

/// Method, target, version, and the two spaces between them.
const MAX_REQUEST_LINE_BYTES: usize = MAX_TARGET_BYTES + 64;

/// More digits than any length needs: what overflows one server's integer is another's length.
const MAX_LENGTH_DIGITS: usize = 15;

#[cfg(test)]
mod tests;
