//! What an answer means. The status decides, and for a 400 what it is about.
//!
//! | answer | meaning |
//! | --- | --- |
//! | 2xx that can be read | done |
//! | 402 | declined |
//! | 401, 403, 404, a redirect, a 400 about our payment method or our account | refused: about us |
//! | 409, 429 | throttled: not carried out |
//! | 408, 5xx, anything that can't be read, silence after something was sent | unknown |
//! | other 4xx | invalid: about this charge |
//! | no connection | unreachable |

use anyhow::{Context, anyhow};
use http::StatusCode;
use serde::de::DeserializeOwned;

use super::super::error::ProviderError;
use super::super::terms::Decline;
use super::client::{Answer, Fault};
use super::resource::{self, FaultBody};

/// Parameters that are the same in each request.
const OUR_PARAMETERS: &[&str] =
    &["payment_method", "payment_method_types", "payment_method_types[]", "payment_method_types[0]"];

/// Codes of a 400 that every charge would get.
const OUR_CODES: &[&str] = &[
    "account_closed",
    "account_invalid",
    "country_unsupported",
    "livemode_mismatch",
    "not_allowed_on_standard_account",
    "resource_missing",
    "secret_key_required",
    "testmode_charges_only",
    "tls_version_unsupported",
];

/// Why a request was not carried out as it was meant.
#[derive(Debug)]
pub(super) enum Refusal {
    Declined(Decline),
    Fault(ProviderError),
}

/// Reads a success, or says what else it is.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refusal> {
    let Answer { status, retry_after, body, .. } = answer;
    if status.is_success() {
        let read = serde_json::from_slice(body).with_context(|| format!("can't read what came with {status}"));
        return read.map_err(|error| Refusal::Fault(ProviderError::Unknown(error)));
    }
    let fault = serde_json::from_slice(body).map_or_else(|_| resource::Fault::default(), |body: FaultBody| body.error);
    let decline = fault.decline();
    let told = anyhow!("{status}: {}: {}", decline.code, decline.message);
    Err(Refusal::Fault(match *status {
        StatusCode::PAYMENT_REQUIRED => return Err(Refusal::Declined(decline)),
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => ProviderError::Throttled { retry_after: *retry_after },
        StatusCode::REQUEST_TIMEOUT => ProviderError::Unknown(told),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => ProviderError::Refused(told),
        StatusCode::BAD_REQUEST if is_about_us(&fault) => ProviderError::Refused(told),
        _ if status.is_client_error() => ProviderError::Invalid { code: decline.code, message: decline.message },
        _ if status.is_server_error() => ProviderError::Unknown(told),
        _ => ProviderError::Refused(told),
    }))
}

fn is_about_us(fault: &resource::Fault) -> bool {
    let is_in = |list: &[&str], text: &Option<String>| text.as_deref().is_some_and(|text| list.contains(&text));
    is_in(OUR_PARAMETERS, &fault.param) || is_in(OUR_CODES, &fault.code)
}

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unsent(_) => Self::Unreachable(fault.into()),
            Fault::Lost(_) => Self::Unknown(fault.into()),
        }
    }
}
