//! What Stripe writes, as far as we read it.

use std::collections::HashMap;

use anyhow::anyhow;
use serde::Deserialize;
use uuid::Uuid;

use super::super::error::ProviderError;
use super::super::terms::{Decline, IntentId, RefundOutcome, Standing};

const PAYMENT_ID: &str = "payment_id";

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: IntentId,
    status: String,
    last_payment_error: Option<Fault>,
}

/// A page of Refunds, the newest first. An intent has few.
#[derive(Debug, Deserialize)]
pub(super) struct Refunds {
    pub(super) data: Vec<Refund>,
}

/// A Refund.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    id: String,
    status: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

/// What is wrong.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fault {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) param: Option<String>,
}

/// The body of an answer that is not a success.
#[derive(Debug, Deserialize)]
pub(super) struct FaultBody {
    pub(super) error: Fault,
}

impl Intent {
    pub(super) fn standing(self) -> Result<Standing, ProviderError> {
        Ok(match (self.status.as_str(), self.last_payment_error) {
            ("succeeded", _) => Standing::Charged { provider_id: self.id.to_string() },
            ("canceled", _) => Standing::Withdrawn,
            ("processing", _) => Standing::UnderWay,
            ("requires_payment_method", Some(fault)) => Standing::Declined(fault.decline()),
            ("requires_action", _) => {
                Standing::Declined(Decline::new("authentication_required", "The bank wants to ask the customer."))
            }
            ("requires_confirmation" | "requires_payment_method", _) => Standing::Open,
            (status, _) => {
                return Err(ProviderError::Unknown(anyhow!("intent {} is {status}: we know no such state", self.id)));
            }
        })
    }
}

impl Refund {
    pub(super) fn is_of(&self, payment: Uuid) -> bool {
        self.metadata.get(PAYMENT_ID).is_some_and(|id| *id == payment.to_string())
    }

    /// One that is pending counts: Stripe has taken it on.
    pub(super) fn outcome(self) -> RefundOutcome {
        match self.status.as_deref() {
            Some("failed" | "canceled") => {
                let reason = self.failure_reason.as_deref().unwrap_or("unknown");
                RefundOutcome::Declined(Decline::new("refund_failed", &format!("refund {} failed: {reason}", self.id)))
            }
            _ => RefundOutcome::Refunded { provider_id: self.id },
        }
    }
}

impl Fault {
    /// The code and the words that a customer may read: `decline_code` would tell a thief what the bank knows.
    pub(super) fn decline(&self) -> Decline {
        Decline::new(
            self.code.as_deref().unwrap_or("unknown"),
            self.message.as_deref().unwrap_or("no reason was given"),
        )
    }
}
