//! One connection to a store, of whichever kind it is, and the commands that go over it.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, TlsMode,
};

use crate::files;
use crate::limit_store::fault::StoreFault;
use crate::limit_store::plan::{StoreAt, StorePlan, StoreUrl};
use crate::limit_store::script::{Run, Script};
use crate::secret::Secret;

/// A connection. Clones share it, and what is asked at once is pipelined.
#[derive(Clone)]
pub(super) enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects, and proves who we are. Reads the password from its source each time: it rotates.
    pub(super) async fn open(plan: &StorePlan) -> Result<Self, StoreFault> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, Self::connect(plan)).await;
        opened.unwrap_or(Err(StoreFault::Connect))
    }

    async fn connect(plan: &StorePlan) -> Result<Self, StoreFault> {
        let secrets = Secrets::read(plan).await?;
        match &plan.at {
            StoreAt::Single(url) => Self::single(plan, url, &secrets).await,
            StoreAt::Cluster(urls) => Self::cluster(plan, urls, &secrets).await,
            StoreAt::Sentinel { service, sentinels } => {
                Self::sentinel(plan, service, sentinels, &secrets).await
            }
        }
    }

    async fn single(
        plan: &StorePlan,
        url: &StoreUrl,
        secrets: &Secrets,
    ) -> Result<Self, StoreFault> {
        let mut settings = RedisConnectionInfo::default().set_db(plan.at.database());
        if let Some(username) = &plan.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = secrets.password()? {
            settings = settings.set_password(password);
        }
        let info = address(url).into_connection_info().map_err(|e| connecting(&e))?;
        let info = info.set_redis_settings(settings);
        let client = match secrets.certificates.clone() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        let client = client.map_err(|e| connecting(&e))?;
        let link = client.get_multiplexed_async_connection_with_config(&settings_of_call()).await;
        link.map(Self::Single).map_err(|e| connecting(&e))
    }

    async fn cluster(
        plan: &StorePlan,
        urls: &[StoreUrl],
        secrets: &Secrets,
    ) -> Result<Self, StoreFault> {
        let mut builder = ClusterClient::builder(urls.iter().map(address))
            .connection_timeout(CONNECT_TIMEOUT)
            // What is sent again may be charged again: a cluster that was changed is connected to anew.
            .retries(0);
        if let Some(username) = &plan.username {
            builder = builder.username(username);
        }
        if let Some(password) = secrets.password()? {
            builder = builder.password(password);
        }
        if let Some(certificates) = secrets.certificates.clone() {
            builder = builder.certs(certificates);
        }
        let client = builder.build().map_err(|e| connecting(&e))?;
        client.get_async_connection().await.map(Self::Cluster).map_err(|e| connecting(&e))
    }

    async fn sentinel(
        plan: &StorePlan,
        service: &str,
        sentinels: &[StoreUrl],
        secrets: &Secrets,
    ) -> Result<Self, StoreFault> {
        let (nodes, kind) = (sentinels.iter().map(address), SentinelServerType::Master);
        let mut builder = SentinelClientBuilder::new(nodes, service, kind)
            .map_err(|e| connecting(&e))?
            .set_client_to_redis_db(plan.at.database());
        if let Some(username) = &plan.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = secrets.password()? {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(certificates) = secrets.certificates.clone() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        let mut client = builder.build().map_err(|e| connecting(&e))?;
        let link = client.get_async_connection_with_config(&settings_of_call()).await;
        link.map(Self::Single).map_err(|e| connecting(&e))
    }

    /// Runs the script, and brings it along where the server has lost it.
    pub(super) async fn run(
        &mut self,
        script: &Script,
        run: &Run,
        timeout: Duration,
    ) -> Result<Vec<i64>, StoreFault> {
        match self.call(&script.by_name(run), timeout).await {
            Err(StoreFault::NoScript) => self.call(&Script::whole(run), timeout).await,
            told => told,
        }
    }

    /// Sends one command and waits for its answer, at most so long.
    pub(super) async fn call<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        timeout: Duration,
    ) -> Result<T, StoreFault> {
        let asked = async {
            match self {
                Self::Single(link) => answer(command, link).await,
                Self::Cluster(link) => answer(command, link).await,
            }
        };
        tokio::time::timeout(timeout, asked).await.unwrap_or(Err(StoreFault::Timeout))
    }
}

async fn answer<T: FromRedisValue>(
    command: &Cmd,
    link: &mut impl ConnectionLike,
) -> Result<T, StoreFault> {
    command.query_async(link).await.map_err(|error| answered(&error))
}

/// What is read for one connection.
struct Secrets {
    password: Option<Secret>,
    certificates: Option<TlsCertificates>,
}

impl Secrets {
    async fn read(plan: &StorePlan) -> Result<Self, StoreFault> {
        let (password, ca_file) = (plan.password.clone(), plan.ca_file.clone());
        let speaks_tls = plan.at.urls().iter().any(|url| url.tls);
        let read = move || {
            let password = match password.map(|source| source.read()) {
                None => None,
                Some(Ok(password)) => Some(password),
                Some(Err(_)) => return Err(StoreFault::Password),
            };
            let root_cert = match ca_file.map(|path| files::read(&path, MOST_CA_BYTES)) {
                None => None,
                Some(Ok(pem)) => Some(pem.to_vec()),
                Some(Err(_)) => return Err(StoreFault::CaFile),
            };
            let certificates = TlsCertificates { client_tls: None, root_cert };
            Ok(Self { password, certificates: speaks_tls.then_some(certificates) })
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreFault::Connect))
    }

    /// The client library keeps a copy for as long as the connection lives.
    fn password(&self) -> Result<Option<&str>, StoreFault> {
        let password = self.password.as_ref().map(|password| str::from_utf8(password.expose()));
        password.transpose().map_err(|_| StoreFault::Password)
    }
}

fn address(url: &StoreUrl) -> ConnectionAddr {
    let (host, port) = (url.host.clone(), url.port);
    if url.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// Each call has its own deadline.
fn settings_of_call() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
}

fn connecting(error: &RedisError) -> StoreFault {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return StoreFault::Password;
    }
    error.code().map_or(StoreFault::Connect, StoreFault::of_code)
}

fn answered(error: &RedisError) -> StoreFault {
    if error.is_timeout() {
        return StoreFault::Timeout;
    }
    if matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
        return StoreFault::Garbage;
    }
    error.code().map_or(StoreFault::Lost, StoreFault::of_code)
}

/// A bundle of all public roots has a quarter of this.
const MOST_CA_BYTES: usize = 1 << 20;

/// Name look-up, TCP, TLS and authentication together. What was sent while the network was broken may never
/// be answered, and a store that is well is used again within two seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
