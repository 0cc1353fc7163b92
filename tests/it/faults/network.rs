//! Between caller and gateway, and between gateway and SMH, in plain text.
//!
//! A byte that is changed is no byte of HTTP here. One that is another letter of a path would delete
//! another file: nothing but TLS stands against that (`tls`).

use super::*;

const DELAY: Fault = Fault::Delay(Duration::from_millis(50));
/// Within a head, in either direction.
const CUT: Fault = Fault::Cut(60);
/// No head is through before the deadline.
const DRIP: Fault = Fault::Drip(Duration::from_millis(20));

const OK: &str = "200";
const NOTHING: &str = "nothing";
const BROKEN: &str = "UpstreamProtocolError unknown";
/// The connection was reset before it took the delete, twice.
const UNREACHABLE: &str = "UpstreamUnreachable not_sent";
const LATE: &str = "UpstreamTimeout unknown";

/// A caller does not wait for ever either.
const CALLERS_PATIENCE: Duration = Duration::from_millis(1_200);

const fn cell(
    name: &'static str,
    fault: Fault,
    way: Way,
    may_hear: &'static [&'static str],
) -> Cell {
    Cell { name, fault, way, may_hear }
}

#[tokio::test]
async fn whatever_befalls_the_way_from_a_caller_the_journal_says_what_smh_saw() {
    const PLACE: &str = "caller and gateway";
    let cells = [
        cell(PLACE, DELAY, Way::There, &[OK]),
        cell(PLACE, DELAY, Way::Back, &[OK]),
        cell(PLACE, CUT, Way::There, &[NOTHING]),
        cell(PLACE, CUT, Way::Back, &[NOTHING]),
        cell(PLACE, Fault::Reset, Way::There, &[NOTHING]),
        cell(PLACE, Fault::Reset, Way::Back, &[NOTHING]),
        cell(PLACE, Fault::BlackHole, Way::There, &[NOTHING]),
        cell(PLACE, Fault::BlackHole, Way::Back, &[NOTHING]),
        cell(PLACE, DRIP, Way::There, &[NOTHING]),
        cell(PLACE, DRIP, Way::Back, &[NOTHING]),
        cell(PLACE, Fault::Corrupt, Way::There, &["InvalidRequest not_sent", NOTHING]),
        cell(PLACE, Fault::Corrupt, Way::Back, &[NOTHING]),
    ];
    each(&cells, async || {
        let smh = Smh::start().await;
        let folder = Folder::new(&yaml(""), None, smh.address);
        let gateway = Binary::serve(&folder).await;
        let proxy = Proxy::to(gateway.data[0]);
        let door = Door { patience: CALLERS_PATIENCE, ..patient(proxy.address, &smh.simulator) };
        Stage { folder, gateway, proxy, door, _smh: Box::new(smh) }
    })
    .await;
}

#[tokio::test]
async fn whatever_befalls_the_way_to_smh_callers_are_told_the_truth_in_time() {
    const PLACE: &str = "gateway and SMH";
    let cells = [
        cell(PLACE, DELAY, Way::There, &[OK]),
        cell(PLACE, DELAY, Way::Back, &[OK]),
        cell(PLACE, CUT, Way::There, &[BROKEN]),
        cell(PLACE, CUT, Way::Back, &[BROKEN]),
        cell(PLACE, Fault::Reset, Way::There, &[BROKEN, UNREACHABLE]),
        cell(PLACE, Fault::Reset, Way::Back, &[BROKEN, UNREACHABLE]),
        cell(PLACE, Fault::BlackHole, Way::There, &[LATE]),
        cell(PLACE, Fault::BlackHole, Way::Back, &[LATE]),
        cell(PLACE, DRIP, Way::There, &[LATE]),
        cell(PLACE, DRIP, Way::Back, &[LATE]),
        // SMH says that this is no HTTP, and the caller hears it.
        cell(PLACE, Fault::Corrupt, Way::There, &["400"]),
        cell(PLACE, Fault::Corrupt, Way::Back, &[BROKEN]),
    ];
    each(&cells, async || {
        let smh = Smh::start().await;
        let proxy = Proxy::to(smh.address);
        let folder = Folder::new(&yaml(""), None, proxy.address);
        let gateway = Binary::serve(&folder).await;
        let door = patient(gateway.data[0], &smh.simulator);
        Stage { folder, gateway, proxy, door, _smh: Box::new(smh) }
    })
    .await;
}
