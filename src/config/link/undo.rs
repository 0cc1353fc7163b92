//! Whose tokens restore what.

use std::path::Path;

use crate::config::gateway_file::GatewayFile;
use crate::config::link::{Names, link_token};
use crate::config::report::{Problem, Report};
use crate::config::snapshot::UndoPlan;
use crate::config::source::Spanned;
use crate::config::undo_file::{Tokens, Undo};

pub(super) fn link(
    gateway: &GatewayFile,
    folder: &Path,
    names: &Names<'_>,
    report: &mut Report,
) -> Option<UndoPlan> {
    let Undo { place, file, tokens } = gateway.undo.as_ref()?;
    let tokens = match tokens {
        Tokens::One(token) => match gateway.libraries.as_deref()? {
            [(Spanned { value: id, .. }, _)] => vec![(id.clone(), link_token(token, folder))],
            _ => {
                let message = "one token is for one library";
                let help = "say `libraries: { LIBRARY: { token: … } }`";
                report.push(Problem::error(*place, message).with_help(help));
                return None;
            }
        },
        Tokens::Each(each) => {
            let known = names.libraries.as_ref()?;
            for (Spanned { place, value: id }, _) in each {
                if !known.contains(id.as_str()) {
                    report.unknown_name(*place, "library", id.as_str(), known.iter());
                }
            }
            let whole = each.iter().filter_map(|(id, token)| Some((id, token.as_ref()?)));
            whole.map(|(id, token)| (id.value.clone(), link_token(token, folder))).collect()
        }
    };
    Some(UndoPlan { file: file.as_ref().map(|file| folder.join(file)), tokens })
}
