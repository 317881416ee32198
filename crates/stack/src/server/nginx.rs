//! nginx as the gateway: `gateway/nginx.conf` with the files beside it that say where it stands.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, Probe, Running};

const READY_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// What stands beside the configuration, and where nginx lives.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where it listens, `host:port`.
    pub listen: String,
    /// The port on 127.0.0.1 for what is for people who run the store; without one that is served where the rest is.
    pub operations: Option<u16>,
    /// Its certificate and key, as PEM files; without them it speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// order-svc, `host:port`.
    pub order_svc: String,
    /// notify-svc, `host:port`.
    pub notify_svc: String,
    /// payment-svc, `host:port`.
    pub payment_svc: String,
    /// What the services' certificates are held to: the file with their authorities, and their name. Without, they are spoken to in
    /// plain HTTP.
    pub services_tls: Option<(PathBuf, String)>,
    /// Folder for its configuration, pid and temporary files; created when it does not exist.
    pub folder: PathBuf,
    /// Where its output goes.
    pub output: Output,
}

/// A running gateway.
#[derive(Debug)]
pub struct Nginx {
    /// Its process.
    pub running: Running,
}

impl Nginx {
    /// Starts it. When this returns, it answers for itself on `/health`.
    ///
    /// # Errors
    /// One line: its program is missing, its folder can't be written, or it did not start.
    pub async fn start(home: &Home, gateway: &Gateway) -> anyhow::Result<Nginx> {
        let program = home.program("nginx")?;
        create_folder(&gateway.folder)?;
        configure(home, gateway)?;
        let path = gateway.folder.join("nginx.conf");
        // Started as root it would hand the work to `nobody`, who may not be able to read the workspace.
        let user = if Uid::effective().is_root() { " user root;" } else { "" };
        let launch = Launch::new("nginx", program)
            .arg("-p")
            .arg(&gateway.folder)
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr", "-g"])
            .arg(format!("daemon off;{user}"))
            .output(gateway.output.clone())
            .stop_signal(Signal::SIGQUIT); // lets requests in flight finish
        let mut running = Running::start(launch, STOP_WITHIN)?;

        // With TLS the refusal of plain HTTP shows as much: it listens, with this configuration.
        let ready = if gateway.tls.is_some() { "HTTP/1.1 400" } else { "HTTP/1.1 200" };
        let probe = async || match health(gateway).await {
            Ok(answer) if answer.starts_with(ready) => Probe::Ready,
            Ok(answer) => Probe::NotYet(format!("/health answered {answer:?}")),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        running.process.until_ready(READY_WITHIN, probe).await?;
        Ok(Nginx { running })
    }
}

/// Puts the configuration and what it includes into nginx's folder.
fn configure(home: &Home, gateway: &Gateway) -> anyhow::Result<()> {
    let source = home.root().join("gateway");
    for name in ["nginx.conf", "tls.conf"] {
        let from = source.join(name);
        fs::copy(&from, gateway.folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let root = source.join("html");
    let listen = match &gateway.tls {
        None => format!("listen {} default_server;\nroot \"{}\";\n", gateway.listen, root.display()),
        Some((certificate, key)) => format!(
            "listen {} ssl default_server;\nssl_certificate \"{}\";\nssl_certificate_key \"{}\";\n\
             include tls.conf;\nroot \"{}\";\n",
            gateway.listen,
            certificate.display(),
            key.display(),
            root.display()
        ),
    };
    let operations = |port| format!("listen 127.0.0.1:{port};\nset $operations_port {port};\n");
    let listen = listen + &gateway.operations.map(operations).unwrap_or_default();
    let upstream = |address: &str| format!("server {address} max_fails=0;\n");
    let services = match &gateway.services_tls {
        None => "map \"\" $services_scheme { default http; }\n".to_owned(),
        Some((authorities, name)) => format!(
            "map \"\" $services_scheme {{ default https; }}\nproxy_ssl_verify on;\nproxy_ssl_trusted_certificate \"{}\";\n\
             proxy_ssl_name {name};\nproxy_ssl_server_name on;\n",
            authorities.display()
        ),
    };
    let beside = [
        ("listen.conf", listen),
        ("order-svc.conf", upstream(&gateway.order_svc)),
        ("notify-svc.conf", upstream(&gateway.notify_svc)),
        ("payment-svc.conf", upstream(&gateway.payment_svc)),
        ("services.conf", services),
    ];
    for (name, text) in beside {
        let path = gateway.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Asks for `/health` in plain HTTP.
async fn health(gateway: &Gateway) -> io::Result<String> {
    let mut stream = TcpStream::connect(&gateway.listen).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: stack\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
