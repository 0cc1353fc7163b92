//! The query of a delete: `permanent` and `user_id`, each at most once, and nothing else.
//!
//! Names and `permanent`'s value are taken literally, never decoded: `%70ermanent=1` is an unknown
//! parameter here and must not become a known one at SMH.

use crate::delete::{Mode, percent};
use crate::ids::UserId;
use crate::refusal::QueryFault;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) mode: Mode,
    pub(super) user_id: Option<UserId>,
}

pub(super) fn parse(query: Option<&str>) -> Result<Parameters, QueryFault> {
    let (mut mode, mut user_id) = (None, None);
    for parameter in query.filter(|query| !query.is_empty()).into_iter().flat_map(|q| q.split('&'))
    {
        let (name, value) = parameter.split_once('=').ok_or_else(|| unknown(parameter))?;
        match name {
            "permanent" => once(&mut mode, permanent(value)?)?,
            "user_id" => once(&mut user_id, user(value)?)?,
            _ => return Err(unknown(name)),
        }
    }
    Ok(Parameters { mode: mode.unwrap_or(Mode::Recycle), user_id })
}

/// Says the more helpful of the two things to a caller who brings SMH's credentials along.
fn unknown(name: &str) -> QueryFault {
    match name {
        "access_token" | "library_secret" => QueryFault::Credential,
        "permanent" => QueryFault::Permanent,
        "user_id" => QueryFault::UserId,
        _ => QueryFault::UnknownParameter,
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), QueryFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(QueryFault::Repeated),
    }
}

fn permanent(value: &str) -> Result<Mode, QueryFault> {
    match value {
        "0" => Ok(Mode::Recycle),
        "1" => Ok(Mode::Permanent),
        _ => Err(QueryFault::Permanent),
    }
}

/// A bare `+` is a plus to RFC 3986 and a space to HTML forms, and `;` separates parameters for
/// some servers. A caller who means them escapes them.
fn user(value: &str) -> Result<UserId, QueryFault> {
    if !value.is_ascii() || value.contains(['+', ';']) {
        return Err(QueryFault::UserId);
    }
    percent::decode(value)
        .and_then(|decoded| String::from_utf8(decoded).ok())
        .and_then(|decoded| UserId::try_from(decoded.as_str()).ok())
        .ok_or(QueryFault::UserId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(query: &str) -> Result<(Mode, Option<String>), QueryFault> {
        let parameters = parse(Some(query))?;
        Ok((parameters.mode, parameters.user_id.map(|user| user.to_string())))
    }

    #[test]
    fn nothing_given_means_the_recycle_bin() {
        assert_eq!(parse(None), Ok(Parameters { mode: Mode::Recycle, user_id: None }));
        assert_eq!(parsed(""), Ok((Mode::Recycle, None)));
    }

    #[test]
    fn both_parameters_are_taken_in_any_order() {
        let wanted = Ok((Mode::Permanent, Some("a b".into())));
        assert_eq!(parsed("permanent=1&user_id=a%20b"), wanted);
        assert_eq!(parsed("user_id=a%20b&permanent=1"), wanted);
    }

    #[test]
    fn an_encoded_separator_stays_inside_the_value() {
        assert_eq!(
            parsed("user_id=a%26access_token%3Dx"),
            Ok((Mode::Recycle, Some("a&access_token=x".into())))
        );
    }

    #[test]
    fn everything_else_is_refused() {
        use QueryFault::{Credential, Permanent, Repeated, UnknownParameter, UserId};
        for (query, fault) in [
            ("upload", UnknownParameter),
            ("upload=1", UnknownParameter),
            ("permanent=0&", UnknownParameter),
            ("&permanent=0", UnknownParameter),
            ("&&", UnknownParameter),
            ("%70ermanent=1", UnknownParameter),
            ("Permanent=1", UnknownParameter),
            ("permanent[]=0", UnknownParameter),
            ("user%5Fid=u", UnknownParameter),
            ("access_token=x", Credential),
            ("library_secret=x", Credential),
            ("access_token", Credential),
            ("permanent=0&permanent=0", Repeated),
            ("permanent=0&permanent=1", Repeated),
            ("user_id=a&user_id=a", Repeated),
            ("permanent", Permanent),
            ("permanent=", Permanent),
            ("permanent=2", Permanent),
            ("permanent=00", Permanent),
            ("permanent=+0", Permanent),
            ("permanent=%30", Permanent),
            ("permanent=true", Permanent),
            ("permanent=0;permanent=1", Permanent),
            ("user_id", UserId),
            ("user_id=", UserId),
            ("user_id=%00", UserId),
            ("user_id=u%0d%0a", UserId),
            ("user_id=%ff", UserId),
            ("user_id=%zz", UserId),
            ("user_id=%", UserId),
            ("user_id=a+b", UserId),
            ("user_id=a;user_id=b", UserId),
        ] {
            assert_eq!(parsed(query), Err(fault), "{query:?}");
        }
        assert_eq!(parsed(&format!("user_id={}", "a".repeat(257))), Err(UserId));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(query: String) {
            let _ = parse(Some(&query));
        }

        #[test]
        fn every_user_id_survives_the_journey(user in "[^\\p{Cc}]{1,32}") {
            let mut encoded = b"user_id=".to_vec();
            percent::encode_into(&mut encoded, user.as_bytes());
            let encoded = String::from_utf8(encoded).unwrap();
            prop_assert_eq!(parsed(&encoded), Ok((Mode::Recycle, Some(user))));
        }
    }
}
