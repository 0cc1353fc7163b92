//! `schema`: what an editor needs to complete and check the files that operators write.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use smh_gateway::config::schema::Format;

use crate::terminal::Terminal;
use crate::{Answer, Outcome};

/// A [`Format`] as an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of(Format);

impl ValueEnum for Of {
    fn value_variants<'a>() -> &'a [Self] {
        const { &[Self(Format::Gateway), Self(Format::Policy), Self(Format::Cases)] }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

pub(crate) fn run(Of(format): Of, terminal: &mut Terminal) -> Outcome {
    terminal.line(format.schema().trim_end());
    Ok(Answer::Yes)
}
