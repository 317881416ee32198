//! Three nats-servers whose routes a test can cut.

use async_nats::jetstream;
use schema::names::STREAM;

use super::{Nats, TcpProxy};

/// A cluster, open to everybody.
pub struct Cluster {
    urls: Vec<String>,
    ports: Vec<u16>,
    routes: Vec<([usize; 2], TcpProxy)>,
    _others: Vec<Nats>,
}

impl Cluster {
    /// Starts it. The first server is given apart, for tests that need a server of their own anyway.
    ///
    /// # Panics
    /// If one does not start.
    pub async fn start() -> (Nats, Cluster) {
        let (mut servers, routes) = Nats::start_cluster_with_routes().await;
        let (urls, ports) = servers.iter().map(|server| (server.url(), server.port())).unzip();
        (servers.remove(0), Cluster { urls, ports, routes, _others: servers })
    }

    /// Where a server takes its clients.
    #[must_use]
    pub fn url(&self, server: usize) -> &str {
        &self.urls[server]
    }

    /// The same, for a proxy.
    #[must_use]
    pub fn port(&self, server: usize) -> u16 {
        self.ports[server]
    }

    /// The server that leads the stream, by the word of this one; none if it does not know.
    pub async fn leader(&self, by: usize) -> Option<usize> {
        let client = async_nats::connect(&self.urls[by]).await.ok()?;
        let stream = jetstream::new(client).get_stream(STREAM).await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.as_ref()?.strip_prefix('n')?.parse().ok()
    }

    /// Cuts a server off from the others. Its clients stay.
    pub async fn cut_off(&mut self, server: usize) {
        for (_, route) in self.routes.iter_mut().filter(|(ends, _)| ends.contains(&server)) {
            route.cut().await;
        }
    }

    /// Brings all servers together again.
    pub async fn heal(&mut self) {
        for (_, route) in &mut self.routes {
            route.heal().await;
        }
    }
}
