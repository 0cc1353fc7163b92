//! The tour: six deletes, each as the caller sends it, as SMH receives it, and as it ends.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use smh_gateway::simulator::{Received, Simulator};

use crate::demo::{APP_KEY, BATCH_KEY, caller};
use crate::terminal::{Style, Terminal};
use crate::{Answer, Outcome};

pub(super) struct Tour<'s> {
    gateway: SocketAddr,
    simulator: &'s Simulator,
}

/// One delete, and how it should end.
struct Step {
    title: &'static str,
    why: &'static str,
    target: &'static str,
    key: &'static str,
    /// Sent so many times; the last one is shown.
    times: usize,
    status: u16,
    /// Stands in the body.
    says: &'static str,
    /// Whether the one that is shown gets to SMH.
    sent: bool,
}

const STEPS: [Step; 6] = [
    Step {
        title: "Recycled",
        why: "the caller knows a tenant and a path; the gateway adds library, space and token",
        target: "/v1/files/photos/2025/a%20b.jpg",
        key: APP_KEY,
        times: 1,
        status: 200,
        says: "recycledItemId",
        sent: true,
    },
    Step {
        title: "Recycle bin off",
        why: "this library keeps nothing, only the status says so; a rule allows it for build logs",
        target: "/v1/files/logs/build/1.log",
        key: APP_KEY,
        times: 1,
        status: 204,
        says: "",
        sent: true,
    },
    Step {
        title: "Not found",
        why: "SMH's own answer, relayed byte for byte",
        target: "/v1/files/photos/2025/nobody.jpg",
        key: APP_KEY,
        times: 1,
        status: 404,
        says: "FileNotFound",
        sent: true,
    },
    Step {
        title: "Permanent delete, blocked",
        why: "one parameter would make the loss final; no rule allows it, so SMH never hears of it",
        target: "/v1/files/photos/2025/c.jpg?permanent=1",
        key: APP_KEY,
        times: 1,
        status: 403,
        says: "PermanentDeleteBlocked",
        sent: false,
    },
    Step {
        title: "Wrong caller",
        why: "a key that nobody has",
        target: "/v1/files/photos/2025/c.jpg",
        key: "not-the-key-of-anyone",
        times: 1,
        status: 401,
        says: "Unauthenticated",
        sent: false,
    },
    Step {
        title: "Rate limited",
        why: "batch jobs may delete one file a minute; this is the second",
        target: "/v1/files/photos/2025/f.jpg",
        key: BATCH_KEY,
        times: 2,
        status: 429,
        says: "batch jobs",
        sent: false,
    },
];

impl<'s> Tour<'s> {
    pub(super) fn new(gateway: SocketAddr, simulator: &'s Simulator) -> Self {
        Self { gateway, simulator }
    }

    pub(super) async fn run(&self, terminal: &mut Terminal) -> Outcome {
        let mut right = 0;
        for (number, step) in STEPS.iter().enumerate() {
            let number = terminal.style(Style::Dim, format!("{}.", number + 1));
            let title = terminal.style(Style::Bold, step.title);
            terminal.line(format!("\n  {number} {title}"));
            terminal.line(format!("     {}", terminal.style(Style::Dim, step.why)));
            right += usize::from(self.take(step, terminal).await?);
        }
        let count = format!("{right} of {} steps ended as they should", STEPS.len());
        let all = right == STEPS.len();
        let style = if all { Style::Good } else { Style::Bad };
        terminal.line(format!("\n  {}\n", terminal.style(style, count)));
        Ok(if all { Answer::Yes } else { Answer::No })
    }

    /// Sends a step's delete, shows its way, and says whether it ended as it should.
    async fn take(&self, step: &Step, terminal: &mut Terminal) -> Result<bool, Box<dyn Error>> {
        for _ in 1..step.times {
            caller::delete(self.gateway, step.target, step.key).await?;
        }
        self.simulator.clear_received();
        let answer = caller::delete(self.gateway, step.target, step.key).await?;
        let received = self.simulator.received();

        arrow(terminal, "caller sends", &format!("DELETE {}", step.target));
        match received.first() {
            Some(request) => arrow(terminal, "SMH receives", &seen(request)),
            None => arrow(terminal, "SMH receives", "nothing"),
        }
        let right = ended_well(step, &answer, &received);
        let status = answer.status();
        let style = if right { Style::Good } else { Style::Bad };
        let shown = terminal.style(style, status.to_string());
        arrow(terminal, "caller gets", &format!("{shown} {}", gist(answer.body())));
        if !right {
            let wanted = format!("should have been {}", step.status);
            arrow(terminal, "", &terminal.style(Style::Bad, wanted));
        }
        Ok(right)
    }
}

fn ended_well(step: &Step, answer: &Response<Bytes>, received: &[Received]) -> bool {
    let body = String::from_utf8_lossy(answer.body());
    answer.status() == step.status
        && body.contains(step.says)
        && received.len() == usize::from(step.sent)
}

fn arrow(terminal: &mut Terminal, who: &str, what: &str) {
    let who = terminal.style(Style::Accent, format!("{who:>12}"));
    terminal.line(format!("     {who}  {what}"));
}

/// The request as SMH got it. The simulator knows the token, and this is where it stops.
fn seen(request: &Received) -> String {
    let parts = request.target.split('&').map(|part| match part.strip_prefix("access_token=") {
        Some(_) => "access_token=[redacted]",
        None => part,
    });
    format!("{} {}", request.method, parts.collect::<Vec<_>>().join("&"))
}

/// The body, or what a person wants to know of a problem.
fn gist(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<serde_json::Value>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let member = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
    match (member("outcome"), member("code"), member("detail")) {
        (Some(outcome), Some(code), Some(detail)) => format!("{code} ({outcome}): {detail}"),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}
