//! `up --auth`: an issuer of this run's own, whose keys the services are given, and a token for each kind of caller.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use schema::scope;
use stack::home::create_folder;
use stack::issuer::Issuer;
use stack::process::Launch;
use stack::service::Program;

/// What the services and the person at the terminal need.
pub(super) struct Tokens {
    jwks: PathBuf,
    /// With the token by which notify-svc asks order-svc for addresses.
    recipients: PathBuf,
    customer: String,
    operator: String,
    doctor: String,
}

impl Tokens {
    /// By a new key, whose private half is kept nowhere: what an earlier run printed is good no more.
    pub(super) fn make(folder: &Path) -> anyhow::Result<Self> {
        let (issuer, folder) = (Issuer::generate("local")?, folder.join("issuer"));
        create_folder(&folder)?;
        let jwks = folder.join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).with_context(|| format!("writing {}", jwks.display()))?;
        let operator = issuer.token("operator", &[scope::ORDERS_ALL, scope::NOTIFICATIONS, scope::OPERATIONS])?;
        let doctor = issuer.token("doctor", &[scope::ORDERS, scope::NOTIFICATIONS])?;
        let recipients = folder.join("recipients.token");
        write_secret(&recipients, &issuer.token(Program::NotifySvc.name(), &[scope::RECIPIENTS])?)?;
        Ok(Self { jwks, recipients, customer: issuer.token("ada", &[scope::ORDERS])?, operator, doctor })
    }

    /// What `stack doctor` places its order with.
    pub(super) fn of_the_doctor(&self) -> &str {
        &self.doctor
    }

    /// Says how to use them.
    pub(super) fn print(&self, out: &mut impl Write, gateway: &str) -> io::Result<()> {
        writeln!(
            out,
            "\nThe APIs ask for a token, as docs/access.md says; they are good for a day, or until the stack stops. The customer ada, and\n\
             an operator:\n\n\
             \x20 CUSTOMER={}\n\n\
             \x20 OPERATOR={}\n\n\
             \x20 curl -i {gateway}/api/orders -H \"authorization: Bearer $CUSTOMER\"\n\
             \x20 curl {gateway}/api/notifications -H \"authorization: Bearer $OPERATOR\"",
            self.customer, self.operator,
        )
    }

    /// Has a service with an API ask for them.
    pub(super) fn asked_by(&self, launch: Launch, service: Program) -> Launch {
        match service {
            Program::OutboxRelay | Program::PaymentRelay => launch,
            Program::NotifySvc => self.known_by(launch).env_default("ORDERS_TOKEN_FILE", &self.recipients),
            Program::OrderSvc | Program::PaymentSvc => self.known_by(launch),
        }
    }

    fn known_by(&self, launch: Launch) -> Launch {
        let settings = Issuer::settings(&self.jwks);
        settings.into_iter().fold(launch, |launch, (name, value)| launch.env_default(name, value))
    }
}

/// For the eyes of whoever runs the stack.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("writing {}", path.display()))
}
