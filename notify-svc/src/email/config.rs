//! Settings of the emails.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use lettre::message::Mailbox;
use runtime::config::{Secret, Validate};
use runtime::tls;

use super::smtp::Server;

/// Settings of the emails.
#[derive(Debug, Args)]
pub struct EmailConfig {
    /// Where emails go: an SMTP server, one .eml file each, or nowhere but a log line.
    #[arg(long, env = "EMAIL_TRANSPORT", value_enum)]
    pub email_transport: EmailTransport,

    /// The sender, such as "Web Store <orders@example.com>". Its domain is the right part of each Message-ID.
    #[arg(long, env = "EMAIL_FROM")]
    pub email_from: Option<Mailbox>,

    /// Folder of the .eml files.
    #[arg(long, env = "EMAIL_DIR")]
    pub email_dir: Option<PathBuf>,

    /// smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required for STARTTLS, or smtps://USER:PASSWORD@HOST.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<Secret>,

    /// PEM file of the authorities that may have signed the SMTP server's certificate, in place of the system's.
    #[arg(long, env = "SMTP_CA_FILE", value_parser = tls::certificates)]
    pub smtp_ca_file: Option<PathBuf>,

    /// Attempts before an email that the server puts off (4xx) is dead; one that it rejects (5xx) is dead at once. Outages of the server spend none.
    #[arg(long, env = "EMAIL_ATTEMPTS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub email_attempts_max: u32,

    /// Emails a second that this process hands to the transport at most.
    #[arg(long, env = "EMAIL_RATE_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub email_rate_max: u32,
}

/// Kinds of email transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmailTransport {
    /// SMTP_URL.
    Smtp,
    /// EMAIL_DIR.
    File,
    /// Nobody gets an email; a log line says that one would have been sent.
    Log,
}

/// An email transport with the settings that it needs.
#[derive(Debug)]
pub enum Transport<'a> {
    /// An SMTP server.
    Smtp {
        /// SMTP_URL.
        url: &'a Secret,
        /// SMTP_CA_FILE.
        ca_file: Option<&'a Path>,
        /// EMAIL_FROM.
        from: &'a Mailbox,
    },
    /// A folder.
    File {
        /// EMAIL_DIR.
        dir: &'a Path,
        /// EMAIL_FROM.
        from: &'a Mailbox,
    },
    /// The log.
    Log,
}

impl EmailConfig {
    /// The chosen transport.
    ///
    /// # Errors
    /// One line that names the setting it lacks.
    pub fn transport(&self) -> Result<Transport<'_>, String> {
        let from = || self.email_from.as_ref().ok_or_else(|| needs("smtp and file", "EMAIL_FROM"));
        Ok(match self.email_transport {
            EmailTransport::Smtp => {
                let url = self.smtp_url.as_ref().ok_or_else(|| needs("smtp", "SMTP_URL"))?;
                Transport::Smtp { url, ca_file: self.smtp_ca_file.as_deref(), from: from()? }
            }
            EmailTransport::File => {
                let dir = self.email_dir.as_deref().ok_or_else(|| needs("file", "EMAIL_DIR"))?;
                Transport::File { dir, from: from()? }
            }
            EmailTransport::Log => Transport::Log,
        })
    }
}

fn needs(transport: &str, setting: &str) -> String {
    format!("EMAIL_TRANSPORT={transport} needs {setting}")
}

impl Validate for EmailConfig {
    fn validate(&self) -> Result<(), String> {
        let Transport::Smtp { url, ca_file, .. } = self.transport()? else { return Ok(()) };
        let server = Server::parse(url)?;
        if ca_file.is_some() && !server.insists_on_tls() {
            return Err("SMTP_CA_FILE needs an SMTP_URL with TLS: smtps://HOST, or smtp://HOST?tls=required".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        email: EmailConfig,
    }

    fn refusal(transport: &str, settings: &[&str]) -> String {
        let arguments = [&["test", "--email-transport", transport], settings].concat();
        let settings = Settings::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        settings.email.validate().err().unwrap_or_default()
    }

    #[test]
    fn each_transport_asks_for_what_it_needs() {
        assert_eq!(refusal("log", &[]), "");
        assert_eq!(refusal("file", &[]), "EMAIL_TRANSPORT=file needs EMAIL_DIR");
        assert_eq!(refusal("smtp", &[]), "EMAIL_TRANSPORT=smtp needs SMTP_URL");
        let smtp = |url| refusal("smtp", &["--email-from", "a@example.com", "--smtp-url", url]);
        assert_eq!(smtp("smtp://h:25"), "");
        for malformed in ["http://user:hunter2@h", "smtp://user:hunter2@h?tls=yes", "user:hunter2@h", "smtp://"] {
            let reason = smtp(malformed);
            assert!(reason.starts_with("SMTP_URL must look like"), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn an_authority_is_of_no_use_without_tls() {
        let authority = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, authority.cert.pem()).unwrap();
        let file = file.path().to_str().unwrap();
        let smtp = |url| refusal("smtp", &["--email-from", "a@example.com", "--smtp-ca-file", file, "--smtp-url", url]);
        assert!(smtp("smtp://h:25").starts_with("SMTP_CA_FILE needs an SMTP_URL with TLS"));
        assert!(smtp("smtp://h:25?tls=opportunistic").starts_with("SMTP_CA_FILE needs an SMTP_URL with TLS"));
        assert_eq!(smtp("smtps://h"), "");
        assert_eq!(smtp("smtp://u:p@h:587?tls=required"), "");
    }
}
