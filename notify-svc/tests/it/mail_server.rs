//! A real SMTP server of a test's own: aiosmtpd, whose mails are read by Python's email package, not by ours.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde::Deserialize;
use stack::home::Home;
use stack::process::{Launch, Output, Probe, Process};
use stack::testing::Port;
use tempfile::TempDir;

/// A mail as a mail program would show it.
#[derive(Debug, Deserialize)]
pub(crate) struct Mail {
    pub(crate) recipients: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) html: String,
    /// Content types, the whole's first.
    pub(crate) parts: Vec<String>,
    /// What the parser had to forgive.
    pub(crate) defects: Vec<String>,
    /// As it came.
    pub(crate) lines: Vec<String>,
    pub(crate) is_encrypted: bool,
    /// Who signed in.
    pub(crate) user: Option<String>,
}

impl Mail {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value);
        let value = found.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }
}

/// An authority that nobody trusts unless told to, and a certificate of it for 127.0.0.1 or for another name.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn vouching_for(name: &str) -> Self {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().unwrap();
        // Two authorities of one name would be told apart by their signatures only.
        authority.distinguished_name.push(DnType::CommonName, folder.path().to_str().unwrap());
        fs::write(folder.path().join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    /// For SMTP_CA_FILE.
    pub(crate) fn file(&self) -> String {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Listens on a port of its own. Dropping it kills it.
pub(crate) struct MailServer {
    port: Port,
    folder: TempDir,
    launch: Launch,
    process: Option<Process>,
}

impl MailServer {
    /// Takes mails from everybody, once started.
    pub(crate) fn new() -> Self {
        let (port, folder) = (Port::reserve(), tempfile::tempdir().unwrap());
        let python = Home::find().unwrap().program("aiosmtpd-python").unwrap();
        let launch = Launch::new("aiosmtpd", python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py"))
            .args([port.number().to_string().as_str(), folder.path().to_str().unwrap()])
            .output(Output::File(folder.path().join("log")));
        Self { port, folder, launch, process: None }
    }

    /// Takes them only from one who signs in by this mechanism.
    pub(crate) fn login(self, mechanism: &str, user: &str, password: &str) -> Self {
        self.with(&["--login", mechanism, user, password])
    }

    /// Speaks TLS after STARTTLS only.
    pub(crate) fn starttls(self, authority: &Authority) -> Self {
        self.with(&["--starttls", &authority.path("certificate.pem"), &authority.path("key.pem")])
    }

    /// Speaks TLS from the first byte.
    pub(crate) fn tls(self, authority: &Authority) -> Self {
        self.with(&["--tls", &authority.path("certificate.pem"), &authority.path("key.pem")])
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.launch = self.launch.args(arguments);
        self
    }

    pub(crate) async fn start(mut self) -> Self {
        let mut process = self.launch.spawn().unwrap();
        let port = self.port.number();
        let probe = async || match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => Probe::Ready,
            Err(error) => Probe::NotYet(error.to_string()),
        };
        process.until_ready(Duration::from_secs(20), probe).await.unwrap();
        self.process = Some(process);
        self
    }

    /// `127.0.0.1:PORT`, for SMTP_URL.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// What it has taken, in order.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files.iter().map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
    }

    /// The only one that it has taken.
    pub(crate) fn mail(&self) -> Mail {
        let mut mails = self.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        mails.remove(0)
    }
}
