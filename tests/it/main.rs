//! The gateway as its users meet it: over sockets, in front of a simulated SMH, with what SMH
//! *received* checked and not only what the caller was told.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::panic, reason = "a test may fail loudly")]

mod support;

/// Modules import one way.
mod architecture;
/// Which check answers, in which order, and that a refused delete reaches nobody.
mod order;
/// SMH's answers come out as they went in, or not at all.
mod relay;
/// TLS listeners, and callers that are known by their certificates.
mod identity;
/// Minted tokens, and the truth about what a delete did.
mod tokens;
/// Pools, deadlines, second tries, TLS: what happens between the gateway and SMH.
mod upstream;
/// Each fault of a network, at each place where there is one.
mod faults;
/// Limits, in one process and across several on a real Redis.
mod limits;
/// The journal: what is in it, without it, and after a kill.
mod journal;
/// More than there is room for: deletes, connections, streams, heads.
mod overload;
/// Hostile bytes in either version of HTTP, and callers that hang up.
mod hostile;
/// Paths: from what a caller writes to what SMH deletes.
mod paths;
/// The fuzz targets are of one piece with the rest.
mod fuzzing;
/// The real binary: starting, draining, leaving.
mod process;
/// The command line and what it prints.
mod cli;
/// Who calls: by JWT, key or unix socket, as an SMH client writes it, and by guessing.
mod callers;
/// No secret in anything that is written or sent.
mod secrets;
/// Another configuration, put in force while the gateway runs.
mod reload;
/// The admin listener.
mod admin;
/// Why a delete is answered as it is, and that everything decides alike.
mod explain;
/// The guide to the policy does what it says.
mod guide;
/// Every example loads.
mod examples;
/// What is deployed: manifests, chart and image.
mod deploy;
/// `undo`: what was deleted comes back.
mod undo;
/// The JSON Schemas: what an editor is told is what the gateway takes.
mod schema;
/// Journals, as operators read them.
mod audit;
/// Metrics, alerts, the dashboard and the runbook.
mod monitoring;
/// Traces, as a collector gets them.
mod traces;
/// The threats: what stops them is there, and so is what shows it.
mod threats;
