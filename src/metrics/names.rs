//! Configured names as labels, shared rather than copied.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::ids::{CallerName, LibraryId, LimitName, RuleName, TenantName};

macro_rules! labels {
    ($($name:ident),+) => {
        $(impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                self.as_str().encode(encoder)
            }
        })+
    };
}

labels!(CallerName, LibraryId, LimitName, RuleName, TenantName);
