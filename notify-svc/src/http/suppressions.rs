//! Bounces, complaints and unsubscribers, told by whoever receives them: a mail provider, or the store's own pages.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use runtime::http::problem::{Problem, Violation};
use runtime::http::read::{ReadError, faults};
use runtime::mysql::Receipt;
use runtime::operator::decision::By;
use serde::{Deserialize, Serialize};
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::address::{self, NO_ADDRESS};
use crate::store::suppression;
use crate::suppression::Cause;
use crate::webhook::{self, is_signed};

/// Addresses that one request may name: they fit into a body however they are written, escapes included.
const ADDRESSES_MAX: usize = 10;
const REASON_CHARS_MAX: usize = 200;
/// Whom such addresses are recorded as added by.
const ACTOR: &str = "webhook";

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(suppress))
}

/// An address that is to get no email.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Unwanted {
    /// An address that an order can have. Upper and lower case are the same; angle brackets, `mailto:` and a domain in another script
    /// are taken for the address that they mean.
    #[schema(pattern = "^[^@]+@[^@]+$", example = "ada@example.com")]
    address: String,
    cause: UnwantedCause,
    /// What is known of it, for people.
    #[schema(max_length = 200, example = "abuse report 4711")]
    reason: String,
}

/// Why it gets none.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UnwantedCause {
    /// There is no such recipient, as its mail server said after it had taken the email.
    Bounce,
    /// Its owner complained.
    Complaint,
    /// Its owner wants none.
    Unsubscribed,
}

impl From<UnwantedCause> for Cause {
    fn from(cause: UnwantedCause) -> Self {
        match cause {
            UnwantedCause::Bounce => Self::Bounce,
            UnwantedCause::Complaint => Self::Complaint,
            UnwantedCause::Unsubscribed => Self::Unsubscribed,
        }
    }
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
struct Taken {
    /// Addresses that are suppressed for that cause from now on.
    #[schema(example = 1)]
    added: usize,
    /// Addresses that were suppressed for that cause before; what was known of them stays.
    #[schema(example = 0)]
    known: usize,
}

#[derive(Debug)]
enum HookError {
    /// 404: nobody has set a secret.
    Off,
    /// 401: not signed with the secret, or too long ago.
    NotSigned,
    /// 400: the body is no list of addresses.
    Malformed(String),
    /// 422: an address is none, or there are too many.
    Invalid(Vec<Violation>),
    /// As every request may fail.
    Read(ReadError),
}

impl HookError {
    fn problem(self) -> Problem {
        match self {
            Self::Off => layers::not_found(),
            Self::NotSigned => {
                let title = "The signature is missing, wrong, or not of the last five minutes";
                Problem::new(StatusCode::UNAUTHORIZED, "invalid-signature", title).challenge("HMAC-SHA256")
            }
            Self::Malformed(reason) => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is no list of addresses")
                    .detail(reason)
            }
            Self::Invalid(violations) => {
                let title = "An address can't be taken";
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-suppressions", title).errors(violations)
            }
            Self::Read(error) => error.problem(),
        }
    }
}

impl IntoResponse for HookError {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

impl From<sqlx::Error> for HookError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(error.into())
    }
}

struct HookProblems;

impl IntoResponses for HookProblems {
    fn responses() -> Responses {
        let refusals = [
            HookError::Off,
            HookError::NotSigned,
            HookError::Malformed("missing field `cause` at line 1 column 30".to_owned()),
            HookError::Invalid(vec![no_address(0)]),
        ];
        documented(refusals.map(HookError::problem).into_iter().chain(faults()))
    }
}

/// Who wants no more email?
///
/// For a mail provider's webhook, or the store's own pages. Signed with the secret of `SUPPRESSION_WEBHOOK_SECRET_FILE`; without that
/// there is nothing here. All addresses are added, or none; one that is there already for that cause stays as it is.
#[utoipa::path(
    post,
    path = "/api/notifications/suppressions",
    tag = "notifications",
    security(()),
    params(
        ("X-Webhook-Timestamp" = String, Header, description = "When it was signed: seconds since 1970", example = "1764374400"),
        ("X-Webhook-Signature" = String, Header,
         description = "HMAC-SHA256 of the timestamp, a full stop and the body, in hexadecimal digits",
         example = "5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
    ),
    request_body(content = Vec<Unwanted>, content_type = "application/json", description = "At most 10 addresses"),
    responses((status = 200, description = "They get no email", body = Taken), HookProblems)
)]
async fn suppress(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<Taken>, HookError> {
    let secret = app.webhook_secret.as_ref().ok_or(HookError::Off)?.read_again(webhook::check);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = (header("x-webhook-timestamp"), header("x-webhook-signature"));
    if !is_signed(secret.expose(), signed, &body, Utc::now()) {
        return Err(HookError::NotSigned);
    }
    let told: Vec<Unwanted> = serde_json::from_slice(&body).map_err(|error| HookError::Malformed(error.to_string()))?;
    let unwanted = checked(told).map_err(HookError::Invalid)?;
    let taken = add(&app, &unwanted).await?;
    tracing::info!(added = taken.added, known = taken.known, "addresses were suppressed by the webhook");
    Ok(Json(taken))
}

/// Reasons by address and cause, in order: of two requests with the same ones the second waits for the first.
fn checked(told: Vec<Unwanted>) -> Result<BTreeMap<(String, Cause), String>, Vec<Violation>> {
    if told.len() > ADDRESSES_MAX {
        return Err(vec![Violation::new("", format!("must have at most {ADDRESSES_MAX} addresses"))]);
    }
    let (mut unwanted, mut wrong) = (BTreeMap::new(), Vec::new());
    for (place, Unwanted { address, cause, reason }) in told.into_iter().enumerate() {
        match address::plain(&address) {
            None => wrong.push(no_address(place)),
            Some(_) if reason.chars().count() > REASON_CHARS_MAX => wrong.push(long_reason(place)),
            Some(address) => drop(unwanted.insert((address, cause.into()), reason)),
        }
    }
    if wrong.is_empty() { Ok(unwanted) } else { Err(wrong) }
}

fn no_address(place: usize) -> Violation {
    Violation::new(format!("/{place}/address"), NO_ADDRESS)
}

fn long_reason(place: usize) -> Violation {
    Violation::new(format!("/{place}/reason"), format!("must have at most {REASON_CHARS_MAX} characters"))
}

async fn add(app: &App, unwanted: &BTreeMap<(String, Cause), String>) -> sqlx::Result<Taken> {
    let mut tx = app.pool.begin().await?;
    let mut taken = Taken { added: 0, known: 0 };
    for ((address, cause), reason) in unwanted {
        match suppression::add(&mut tx, address, *cause, By { actor: ACTOR, reason }).await? {
            Receipt::First => taken.added += 1,
            Receipt::Duplicate => taken.known += 1,
        }
    }
    tx.commit().await?;
    Ok(taken)
}
