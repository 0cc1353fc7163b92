//! `schema`: what an editor needs to complete and check the files that operators write, and what a
//! program needs to read the journal.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use smh_gateway::config::schema::Format;
use smh_gateway::journal;

use crate::terminal::Terminal;
use crate::{Answer, Outcome};

/// What has a schema, as an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    File(Format),
    Audit,
}

impl ValueEnum for Of {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self::File(Format::Gateway),
                Self::File(Format::Policy),
                Self::File(Format::Cases),
                Self::Audit,
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::File(format) => PossibleValue::new(format.name()),
            Self::Audit => PossibleValue::new("audit"),
        })
    }
}

pub(crate) fn run(of: Of, terminal: &mut Terminal) -> Outcome {
    let schema = match of {
        Of::File(format) => format.schema(),
        Of::Audit => journal::SCHEMA,
    };
    terminal.line(schema.trim_end());
    Ok(Answer::Yes)
}
