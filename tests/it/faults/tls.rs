//! Between gateway and SMH over TLS, where what was changed on its way is found out.

use std::sync::Arc;

use super::*;
use crate::upstream::{Authority, Encrypted};

const BROKEN: &str = "UpstreamProtocolError unknown";
const UNREACHABLE: &str = "UpstreamUnreachable not_sent";
const LATE: &str = "UpstreamTimeout unknown";

const CUT: &[&str] = &[BROKEN, UNREACHABLE];
/// Late, where a record's length was changed: then the rest of it is waited for.
const LOST: &[&str] = &[BROKEN, UNREACHABLE, LATE];
/// Unreachable, where a connection was to be made.
const SILENT: &[&str] = &[LATE, UNREACHABLE];

async fn matrix(
    name: &'static str,
    protocols: &[&str],
    cells: &[(Fault, &'static [&'static str])],
) {
    let cells: Vec<Cell> = cells
        .iter()
        .flat_map(|&(fault, may_hear)| {
            [Way::There, Way::Back].map(|way| Cell { name, fault, way, may_hear })
        })
        .collect();
    let authority = Arc::new(Authority::new());
    each(&cells, async || {
        let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], protocols)).await;
        let proxy = Proxy::to(smh.address);
        let yaml = with_deadlines(&authority.trusted("UPSTREAM"), "");
        let folder = Folder::new(&yaml, None, proxy.address);
        let gateway = Binary::serve(&folder).await;
        let door = patient(gateway.data[0], &smh.simulator);
        Stage { folder, gateway, proxy, door, _smh: Box::new(smh) }
    })
    .await;
}

/// In plain text a bit in the right place deletes another file.
#[tokio::test]
async fn a_bit_that_is_changed_on_the_way_to_smh_gets_no_delete_through() {
    let cells = [(Fault::Flip, LOST), (Fault::Corrupt, LOST)];
    matrix("gateway and SMH by TLS", &["http/1.1"], &cells).await;
}

/// All deletes of a worker share a connection, so one fault befalls them all.
#[tokio::test]
async fn whatever_befalls_a_connection_that_deletes_share_each_is_told_the_truth() {
    let cells = [
        (Fault::Delay(Duration::from_millis(50)), &["200"][..]),
        (Fault::Cut(60), CUT),
        (Fault::Reset, CUT),
        (Fault::BlackHole, SILENT),
        (Fault::Drip(Duration::from_millis(20)), SILENT),
        (Fault::Flip, LOST),
        (Fault::Corrupt, LOST),
    ];
    matrix("gateway and SMH by HTTP/2", &["h2"], &cells).await;
}
