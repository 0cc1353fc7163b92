//! A simulated SMH.

use std::net::SocketAddr;

use smh_gateway::simulator::{Library, Received, RecycleBin, Simulator, TokenSpec};
use tokio::task::JoinSet;

use super::ports;
use super::{LIBRARY, SPACE, TOKEN};

/// A simulated SMH that listens, with [`LIBRARY`], [`SPACE`] and [`TOKEN`].
pub(crate) struct Smh {
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Smh {
    pub(crate) async fn start() -> Self {
        let simulator = Simulator::new();
        let library = Library::multi_tenant(LIBRARY, "sentinel-library-secret");
        simulator.add_library(library.with_recycle_bin(RecycleBin::KEEPING));
        simulator.add_space(LIBRARY, SPACE);
        simulator.add_space(LIBRARY, "space2");
        simulator.issue_token(
            TokenSpec::new(LIBRARY)
                .with_grant("delete_file")
                .with_grant("delete_file_permanent")
                .with_value(TOKEN),
        );
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.clone().serve(listener, std::future::pending()));
        Self { simulator, address, _tasks: tasks }
    }

    /// Puts a file into [`SPACE`].
    pub(crate) fn with_file(self, path: &str) -> Self {
        self.simulator.put_file(LIBRARY, SPACE, path);
        self
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.simulator.files(LIBRARY, SPACE)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.simulator.received()
    }

    /// The targets that arrived, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.target).collect()
    }
}
