//! `doctor`: what SMH says of what gateway.yaml says.

use std::path::Path;

use serde_json::json;
use smh_gateway::config;
use smh_gateway::doctor::{Finding, examine};

use crate::terminal::{Style, Terminal};
use crate::{Answer, Format, Outcome};

pub(crate) fn run(config: &Path, format: Format, terminal: &mut Terminal) -> Outcome {
    let snapshot = match config::load(config).into_result() {
        Ok((snapshot, warnings)) => {
            terminal.report(&warnings);
            snapshot
        }
        Err(report) => {
            terminal.report(&report);
            return Ok(Answer::No);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(examine(&snapshot));
    match format {
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(json).collect();
            terminal.line(format!("{:#}", json!(findings)));
        }
        Format::Text => findings.iter().for_each(|finding| show(finding, terminal)),
    }
    Ok(if findings.iter().all(|finding| finding.good) { Answer::Yes } else { Answer::No })
}

fn json(finding: &Finding) -> serde_json::Value {
    json!({
        "library": finding.library.as_str(),
        "tenant": finding.tenant.as_ref().map(|tenant| tenant.as_str()),
        "good": finding.good,
        "what": finding.what,
        "advice": finding.advice,
    })
}

fn show(finding: &Finding, terminal: &mut Terminal) {
    let verdict = match finding.good {
        true => terminal.style(Style::Good, "ok   "),
        false => terminal.style(Style::Bad, "WRONG"),
    };
    let tenant = finding.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let library = finding.library.as_str();
    let what = &finding.what;
    terminal.line(format!("{verdict} {library:<18} {tenant:<14} {what}"));
    if let Some(advice) = finding.advice {
        terminal.line(terminal.style(Style::Dim, format!("{:39} -> {advice}", "")));
    }
}
