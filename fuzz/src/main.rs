//! Borders at which bytes of others come in, under libFuzzer. `FUZZ_TARGET` names one of them; the arguments are
//! libFuzzer's. What a target looks for beside a panic stands with it.

#![no_main]

mod certificate;
mod files;
mod head;
mod journal;
mod request;
mod smh;
mod store;
mod token;
mod traceparent;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// By the names of the folders of `corpus/`.
const TARGETS: [(&str, Target); 11] = [
    ("certificate", certificate::run),
    ("gateway_yaml", files::gateway),
    ("head", head::run),
    ("journal", journal::run),
    ("jwks", token::key_set),
    ("jwt", token::run),
    ("policy_yaml", files::policy),
    ("request", request::run),
    ("smh", smh::run),
    ("store", store::run),
    ("traceparent", traceparent::run),
];

#[expect(clippy::disallowed_methods, reason = "the arguments are libFuzzer's")]
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET is none of the targets: {wanted:?}")).1
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
