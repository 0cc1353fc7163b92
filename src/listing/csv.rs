//! Records as CSV (RFC 4180), safe to be opened in a spreadsheet.

use crate::journal::{Cells, FIELDS};

/// What proves a record says nothing about the delete; `--format json` has it.
const LEFT_OUT: [&str; 3] = ["v", "prev", "hash"];

/// Appends the line with the names of the columns.
pub fn header(out: &mut Vec<u8>) {
    line(FIELDS.into_iter().filter(|field| !LEFT_OUT.contains(field)), out);
}

/// Appends the line of a record.
pub fn row(cells: &Cells<'_>, out: &mut Vec<u8>) {
    let columns = cells.iter().filter(|(field, _)| !LEFT_OUT.contains(field));
    line(columns.map(|(_, value)| value), out);
}

fn line<'c>(values: impl Iterator<Item = &'c str>, out: &mut Vec<u8>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell(value, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn cell(value: &str, out: &mut Vec<u8>) {
    // Most are.
    if value.is_empty() {
        return;
    }
    let is_formula = value.starts_with(STARTS_A_FORMULA);
    let has_special = |byte: u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    if !is_formula && !value.bytes().any(has_special) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    out.push(b'"');
    if is_formula {
        out.push(b'\'');
    }
    for byte in value.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A spreadsheet computes a cell that begins so, whatever it is quoted with: callers choose names, and
/// nobody may have a formula run on an auditor's desk. An apostrophe in front makes a text of it.
const STARTS_A_FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}'];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        cell(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_cell_is_quoted_where_it_must_be() {
        for (value, wanted) in [
            ("", ""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(written(value), wanted);
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for value in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\u{FF1D}1"] {
            assert_eq!(written(value), format!("\"'{value}\""));
        }
    }

    #[test]
    fn a_row_has_a_cell_under_each_name() {
        let mut out = Vec::new();
        header(&mut out);
        let record = br#"{"v":1,"journal":"x","seq":7,"event":"delete","path":"=a,b","space":"-"}"#;
        row(&Cells::parse(record).unwrap(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let (names, values) = text.split_once("\r\n").unwrap();
        assert_eq!(names.split(',').count(), FIELDS.len() - LEFT_OUT.len());
        assert!(names.starts_with("journal,seq,time,event,delete,intended,request_id,"), "{names}");
        assert!(values.starts_with("x,7,,delete,,,"), "{values}");
        assert!(values.contains(",\"'-\",\"'=a,b\","), "{values}");
    }
}
