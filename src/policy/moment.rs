//! A moment as operators write it: in `until`, in a test case, in a question to `explain`.

use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment of RFC 3339. Its offset may not carry it out of the years 0 to 9999: what is told of it
/// is told in UTC, and there RFC 3339 has no other years.
///
/// # Errors
/// `miswritten`, which says what it should look like; or that it is out of these years.
pub fn moment(text: &str, miswritten: &'static str) -> Result<SystemTime, &'static str> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| miswritten)?;
    let in_utc = moment.checked_to_offset(UtcOffset::UTC);
    match in_utc.filter(|moment| (0..=9999).contains(&moment.year())) {
        Some(moment) => Ok(moment.into()),
        None => Err("in UTC it is outside the years 0 to 9999"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_within_the_years_that_can_be_told_in_utc() {
        for (text, back) in [
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("0000-01-01T23:59:00+23:59", "0000-01-01T00:00:00Z"),
            ("2026-12-31T18:00:00+08:00", "2026-12-31T10:00:00Z"),
            ("9999-12-31T00:00:59-23:59", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let told = OffsetDateTime::from(moment(text, "").unwrap()).format(&Rfc3339);
            assert_eq!(told.unwrap(), back, "{text}");
        }
        for text in ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
            assert_eq!(moment(text, ""), Err("in UTC it is outside the years 0 to 9999"), "{text}");
        }
        for text in ["", "noon", "2026-12-31", "-0001-01-01T00:00:00Z", "2026-12-31T18:00:00"] {
            assert_eq!(moment(text, "miswritten"), Err("miswritten"), "{text}");
        }
    }
}
