//! The simulator's books: a folder with a JSON file for each intent, each outcome and each refund, written once and whole.
//!
//! They are outside the service's database on purpose: a real provider does not step back when a backup is restored. What a
//! killed process wrote stands; a machine that loses power may lose the last seconds.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use schema::ids::OrderId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::fs::DirBuilder;
use uuid::Uuid;

use super::super::terms::{Charge, ChargeOutcome, Currency, Decline, IntentId, RefundOutcome, Standing};

const FOLDER_MODE: u32 = 0o700;
const INTENT: &str = "intent.json";
const OUTCOME: &str = "outcome.json";
const REFUND: &str = "refund.json";
const FAULT: &str = "fault.json";

/// What was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    order_id: OrderId,
    reference: Uuid,
    amount_minor: u64,
    currency: Currency,
    pub(super) product: String,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    Charged,
    Declined(Decline),
    Withdrawn,
    Refunded,
}

/// An intent of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What the simulator calls it.
    pub intent: IntentId,
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub reference: Uuid,
    /// In the currency's smallest unit.
    pub amount_minor: u64,
    /// The currency.
    pub currency: Currency,
    /// Whether the money was taken.
    pub charged: bool,
    /// Whether it was given back.
    pub refunded: bool,
}

/// All intents of a simulator's ledger, for whoever counts: one order may have several, of which at most one is charged.
///
/// # Errors
/// If the folder can't be read.
pub fn ledger(dir: &Path) -> io::Result<Vec<LedgerEntry>> {
    let books = Books { dir: dir.to_owned() };
    let mut entries = Vec::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name();
        let intent = name.to_str().and_then(|name| name.strip_suffix(INTENT)?.strip_suffix('.')?.parse().ok());
        let Some(intent) = intent else { continue };
        let Some(Intent { order_id, reference, amount_minor, currency, .. }) = books.read(&intent, INTENT)? else {
            continue;
        };
        let charged = matches!(books.read(&intent, OUTCOME)?, Some(Outcome::Charged));
        let refunded = matches!(books.read(&intent, REFUND)?, Some(Outcome::Refunded));
        entries.push(LedgerEntry { intent, order_id, reference, amount_minor, currency, charged, refunded });
    }
    Ok(entries)
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Books {
    dir: PathBuf,
}

impl Books {
    /// Makes the folder if need be and tries to write into it.
    pub(super) async fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(dir).await?;
        let probe = dir.join(format!(".writable-{}", Uuid::now_v7()));
        tokio::fs::write(&probe, b"").await?;
        tokio::fs::remove_file(&probe).await?;
        Ok(Self { dir: dir.to_owned() })
    }

    pub(super) async fn enter(&self, id: &IntentId, charge: &Charge) -> io::Result<()> {
        let Charge { order_id, reference, currency, .. } = *charge;
        let amount_minor = charge.amount_minor.get();
        let intent = Intent { order_id, reference, amount_minor, currency, product: charge.product.clone() };
        self.write_once(id, INTENT, &intent).await.map(drop)
    }

    pub(super) fn intent(&self, id: &IntentId) -> io::Result<Option<Intent>> {
        self.read(id, INTENT)
    }

    pub(super) fn outcome(&self, id: &IntentId) -> io::Result<Option<Outcome>> {
        self.read(id, OUTCOME)
    }

    pub(super) fn refund(&self, id: &IntentId) -> io::Result<Option<Outcome>> {
        self.read(id, REFUND)
    }

    /// Ends an intent, or says how it ended before: of several at once, one decides.
    pub(super) async fn conclude(&self, id: &IntentId, outcome: Outcome) -> io::Result<Outcome> {
        self.write_or_read(id, OUTCOME, outcome).await
    }

    /// Notes a refund, or says what became of an earlier one.
    pub(super) async fn give_back(&self, id: &IntentId, outcome: Outcome) -> io::Result<Outcome> {
        self.write_or_read(id, REFUND, outcome).await
    }

    /// Whether an intent's fault is still to come, which it then is no more.
    pub(super) async fn take_fault(&self, id: &IntentId) -> io::Result<bool> {
        self.write_once(id, FAULT, &()).await
    }

    async fn write_or_read(&self, id: &IntentId, kind: &str, outcome: Outcome) -> io::Result<Outcome> {
        if self.write_once(id, kind, &outcome).await? {
            return Ok(outcome);
        }
        Ok(self.read(id, kind)?.unwrap_or(outcome))
    }

    /// Whether it was not there yet. Written beside its place and linked there: a reader never sees half of it.
    async fn write_once(&self, id: &IntentId, kind: &str, content: &impl Serialize) -> io::Result<bool> {
        let part = self.dir.join(format!(".{}.part", Uuid::now_v7()));
        tokio::fs::write(&part, serde_json::to_vec(content)?).await?;
        let linked = tokio::fs::hard_link(&part, self.path(id, kind)).await;
        tokio::fs::remove_file(&part).await?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read<T: DeserializeOwned>(&self, id: &IntentId, kind: &str) -> io::Result<Option<T>> {
        match fs::read(self.path(id, kind)) {
            Ok(content) => Ok(Some(serde_json::from_slice(&content)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, id: &IntentId, kind: &str) -> PathBuf {
        self.dir.join(format!("{id}.{kind}"))
    }
}

impl Outcome {
    pub(super) fn standing(self, id: &IntentId) -> Standing {
        match self {
            Self::Charged | Self::Refunded => Standing::Charged { provider_id: id.to_string() },
            Self::Declined(decline) => Standing::Declined(decline),
            Self::Withdrawn => Standing::Withdrawn,
        }
    }

    pub(super) fn of_charge(self, id: &IntentId) -> ChargeOutcome {
        match self {
            Self::Charged | Self::Refunded => ChargeOutcome::Charged { provider_id: id.to_string() },
            Self::Declined(decline) => ChargeOutcome::Declined(decline),
            Self::Withdrawn => ChargeOutcome::Withdrawn,
        }
    }

    pub(super) fn of_refund(self, id: &IntentId) -> RefundOutcome {
        match self {
            Self::Declined(decline) => RefundOutcome::Declined(decline),
            Self::Charged | Self::Refunded | Self::Withdrawn => {
                RefundOutcome::Refunded { provider_id: format!("{id}_refund") }
            }
        }
    }
}
