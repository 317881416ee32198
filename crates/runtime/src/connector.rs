//! How clients of HTTP connect.

use std::time::Duration;

use async_nats::rustls::ClientConfig;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// Connects, with TLS where the URL says https.
pub type Connector = HttpsConnector<HttpConnector>;

/// See [`Connector`]; the time is for a TCP connection.
pub fn connector(tls: ClientConfig, connect_time_max: Duration) -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false); // https is the next one's
    tcp.set_connect_timeout(Some(connect_time_max));
    tcp.set_nodelay(true);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp)
}
