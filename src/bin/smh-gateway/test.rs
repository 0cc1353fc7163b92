//! `test`: does the policy decide as its test cases say?

mod junit;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use serde_json::{Value, json};
use smh_gateway::config;
use smh_gateway::config::cases::{self, Bench, Case, Cited, Expected, Ran, Verdict, columns};
use smh_gateway::config::report::{Color, Report};
use smh_gateway::delete::Mode;

use crate::terminal::{Style, Terminal};
use crate::{Answer, Arguments};

#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The files of cases; left out: those that the gateway's file names under `policy_tests`.
    #[arg(value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// For people, for programs, or for CI.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
}

/// One file of cases. None of them where it is not valid: the report says why.
struct Suite {
    file: String,
    cases: Option<Vec<(Case, Ran)>>,
    report: Report,
}

impl Suite {
    fn run(file: &Path, bench: &Bench<'_>, now: SystemTime) -> Self {
        let mut report = Report::new();
        let cases = cases::read(file, bench, &mut report).map(|cases| {
            let run = |case: Case| {
                let ran = case.run(bench, now);
                (case, ran)
            };
            cases.into_iter().map(run).collect()
        });
        Self { file: file.display().to_string(), cases, report }
    }

    fn cases(&self) -> &[(Case, Ran)] {
        self.cases.as_deref().unwrap_or_default()
    }

    fn failed(&self) -> usize {
        self.cases().iter().filter(|(_, ran)| !ran.passed).count()
    }
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Answer {
    let (snapshot, warnings) = match config::load_untested(&options.config).into_result() {
        Ok(loaded) => loaded,
        Err(report) => {
            terminal.report(&report);
            return Answer::No;
        }
    };
    terminal.report(&warnings);
    let files = if options.cases.is_empty() { &snapshot.policy_tests } else { &options.cases };
    if files.is_empty() {
        let message = "no test cases: give files of them, or name them under `policy_tests`";
        Arguments::command().error(ErrorKind::MissingRequiredArgument, message).exit()
    }
    let bench = Bench::of(&snapshot);
    // One moment for all: a rule that ends meanwhile is in force for every case or for none.
    let now = SystemTime::now();
    let suites: Vec<_> = files.iter().map(|file| Suite::run(file, &bench, now)).collect();
    suites.iter().for_each(|suite| terminal.report(&suite.report));
    match options.format {
        Format::Text => table(&suites, terminal),
        Format::Json => {
            let objects = suites.iter().flat_map(|suite| {
                suite.cases().iter().map(|(case, ran)| object(&suite.file, case, ran))
            });
            terminal.line(format!("{:#}", Value::Array(objects.collect())));
        }
        Format::Junit => terminal.line(junit::document(&suites)),
    }
    let good = |suite: &Suite| suite.cases.is_some() && suite.failed() == 0;
    if suites.iter().all(good) { Answer::Yes } else { Answer::No }
}

/// Wider columns than these are not made for one long name or path.
const NAME_COLUMNS: usize = 36;
const REQUEST_COLUMNS: usize = 64;

fn table(suites: &[Suite], terminal: &mut Terminal) {
    let all = || suites.iter().flat_map(Suite::cases).map(|(case, _)| case);
    let widest = |of: fn(&Case) -> String, most| {
        all().map(|case| columns(&of(case))).filter(|&width| width <= most).max().unwrap_or(0)
    };
    let name_width = widest(Case::label, NAME_COLUMNS);
    let request_width = widest(Case::request, REQUEST_COLUMNS);
    for suite in suites {
        terminal.line(terminal.style(Style::Bold, &suite.file));
        if suite.cases.is_none() {
            terminal
                .line(format!("  {}", terminal.style(Style::Bad, "not valid: nothing was run")));
        }
        for (case, ran) in suite.cases() {
            let mark = match ran.passed {
                true => terminal.style(Style::Good, "ok  "),
                false => terminal.style(Style::Bad, "FAIL"),
            };
            let name = padded(&case.label(), name_width);
            let request = terminal.style(Style::Dim, padded(&case.request(), request_width));
            let decided = decided(&ran.verdict);
            terminal.line(format!("  {mark}  {name}  {request}  {decided}"));
            if !ran.passed {
                for line in difference(case, ran) {
                    terminal.line(terminal.style(Style::Accent, format!("        {line}")));
                }
            }
        }
    }
    let (run, failed) = (all().count(), suites.iter().map(Suite::failed).sum::<usize>());
    let mut summary = format!("{} of {run} cases pass", run - failed);
    let invalid = suites.iter().filter(|suite| suite.cases.is_none());
    let invalid: Vec<_> = invalid.map(|suite| suite.file.as_str()).collect();
    if !invalid.is_empty() {
        summary.push_str(&format!("; not valid: {}", invalid.join(", ")));
    }
    let good = failed == 0 && invalid.is_empty();
    terminal.line(terminal.style(if good { Style::Good } else { Style::Bad }, summary));
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// The decision in a word or two; the rule stands in the difference.
fn decided(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow { .. } => "allow".to_owned(),
        Verdict::Deny { code, .. } => format!("deny {}", code.name()),
    }
}

fn difference(case: &Case, ran: &Ran) -> Vec<String> {
    let mut lines =
        vec![format!("- expected {}", case.expected), format!("+ decided {}", ran.verdict)];
    lines.extend(ran.not_enforced.iter().map(|rule| format!("  {}", rule.why_not_enforced())));
    lines
}

fn object(file: &str, case: &Case, ran: &Ran) -> Value {
    let asked = &case.asked;
    let cited = |cited: &Cited| json!({ "rule": cited.rule.as_str(), "at": cited.at });
    json!({
        "file": file,
        "line": case.place.line,
        "name": case.name.as_ref().map(|name| name.as_str()),
        "position": case.position,
        "passed": ran.passed,
        "request": {
            "caller": asked.caller,
            "tenant": asked.tenant,
            "path": asked.path,
            "permanent": asked.mode == Mode::Permanent,
            "user_id": asked.user_id,
            "at": case.at.as_ref().map(|at| &*at.written),
        },
        "expected": match &case.expected {
            Expected::Allow { rule } => {
                json!({ "decision": "allow", "rule": rule.as_ref().map(|rule| rule.as_str()) })
            }
            Expected::Deny { code, rule } => json!({
                "decision": "deny",
                "code": code.map(|code| code.name()),
                "rule": rule.as_ref().map(|rule| rule.as_str()),
            }),
        },
        "decided": match &ran.verdict {
            Verdict::Allow { rule } => json!({ "decision": "allow", "by": rule.as_ref().map(cited) }),
            Verdict::Deny { code, rule, detail } => json!({
                "decision": "deny",
                "code": code.name(),
                "by": rule.as_ref().map(cited),
                "detail": detail,
            }),
        },
        "not_enforced": ran.not_enforced.iter().map(cited).collect::<Vec<_>>(),
    })
}

/// What is wrong with a file, without colours.
fn plain(report: &Report) -> String {
    report.render(Color::Plain)
}
