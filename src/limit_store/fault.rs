//! Why a store was of no use.

/// What went wrong with a store. Nothing that the store says is repeated but the word of its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreFault {
    /// No connection comes about.
    #[error("no connection comes about")]
    Connect,
    /// Our password cannot be read, or is refused.
    #[error("the password cannot be read, or the store refuses it")]
    Password,
    /// The CA file cannot be read.
    #[error("`ca_file` cannot be read")]
    CaFile,
    /// The connection was lost.
    #[error("the connection was lost")]
    Lost,
    /// No answer came in time.
    #[error("it does not answer in time")]
    Timeout,
    /// What came is no answer to what was asked.
    #[error("what it answers makes no sense")]
    Garbage,
    /// It still reads its data.
    #[error("it is still loading its data")]
    Loading,
    /// It is a replica.
    #[error("it is a replica, which takes no writes")]
    ReadOnly,
    /// It has no memory left.
    #[error("it is out of memory (`maxmemory`)")]
    OutOfMemory,
    /// It is a node of a cluster, which was not configured as one.
    #[error("it is a node of a Cluster, or the cluster is down: is it configured as `cluster`?")]
    Cluster,
    /// We may not do what we have to.
    #[error("its ACL does not let us run a script, or use our keys")]
    Forbidden,
    /// It does not know the script any more.
    #[error("it has lost the script")]
    NoScript,
    /// Another error of its own.
    #[error("it answers with an error")]
    Other,
}

impl StoreFault {
    /// Every kind, to give each its metric.
    pub const ALL: [Self; 13] = [
        Self::Connect,
        Self::Password,
        Self::CaFile,
        Self::Lost,
        Self::Timeout,
        Self::Garbage,
        Self::Loading,
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Cluster,
        Self::Forbidden,
        Self::NoScript,
        Self::Other,
    ];

    /// The word for it in metrics and the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Password => "password",
            Self::CaFile => "ca_file",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::Garbage => "garbage",
            Self::Loading => "loading",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::Cluster => "cluster",
            Self::Forbidden => "forbidden",
            Self::NoScript => "no_script",
            Self::Other => "other",
        }
    }

    /// Whether a run that ended with it certainly charged nothing.
    #[must_use]
    pub fn charged_nothing(self) -> bool {
        match self {
            Self::Lost | Self::Timeout | Self::Garbage | Self::Other => false,
            Self::Connect
            | Self::Password
            | Self::CaFile
            | Self::Loading
            | Self::ReadOnly
            | Self::OutOfMemory
            | Self::Cluster
            | Self::Forbidden
            | Self::NoScript => true,
        }
    }

    /// By the first word of an error of the store's.
    pub(super) fn of_code(code: &str) -> Self {
        match code {
            "LOADING" | "MASTERDOWN" => Self::Loading,
            "READONLY" => Self::ReadOnly,
            "OOM" => Self::OutOfMemory,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => Self::Cluster,
            "NOPERM" => Self::Forbidden,
            "NOAUTH" | "WRONGPASS" => Self::Password,
            "NOSCRIPT" => Self::NoScript,
            _ => Self::Other,
        }
    }

    /// Whether one is sign enough that the connection is of no use. A late answer alone is not.
    pub(super) fn is_certain(self) -> bool {
        !matches!(self, Self::Timeout)
    }
}
