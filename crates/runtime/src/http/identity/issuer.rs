//! Who issues tokens: checks one by the issuer's keys, which are cached and fetched again.
//!
//! Keys are fetched once a minute, so that one that the issuer withdraws is soon refused, and when a token names a key that is not
//! there, at most every five seconds, so that a new key needs no wait and made-up names cost the issuer nothing. A source that is
//! away, or has nothing of use, leaves the last keys in place. Tests: `crates/stack/tests/it/identity.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::{Identity, Subject};
use super::keys::KeySet;
use super::refusal::Refusal;
use super::signature::{self, ALGORITHMS};
use super::source::Source;
use crate::lifecycle::Lifecycle;
use crate::readiness::{Latch, Readiness};
use crate::telemetry::chain;

/// A token is a few hundred bytes; some issuers write long lists into theirs.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How old keys become while the source answers.
const REFRESH: Duration = Duration::from_secs(60);
/// When to try again while it does not.
const RETRY: Duration = Duration::from_secs(2);
/// At most so often a token makes us fetch keys.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// Checks tokens. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One for each algorithm.
    validations: Vec<Validation>,
    source: Source,
    keys: RwLock<Option<Arc<KeySet>>>,
    /// When a token last made us fetch.
    asked: Mutex<Option<Instant>>,
    is_away: AtomicBool,
}

/// What is read from a token.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    scope: Option<ScopeClaim>,
    scp: Option<ScopeClaim>,
}

/// A list as RFC 8693 writes it, with spaces, or as an array, as some issuers do.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

impl Issuer {
    pub(super) fn new(issuer: &str, audience: &str, leeway: Duration, source: Source) -> Self {
        signature::install();
        let validations = ALGORITHMS.map(|algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.leeway = leeway.as_secs();
            validation.validate_nbf = true;
            validation.set_issuer(&[issuer]);
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            validation
        });
        let (keys, asked, is_away) = (RwLock::default(), Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { validations: validations.to_vec(), source, keys, asked, is_away }))
    }

    /// Keeps the keys up to date. The process is not ready before it has had some.
    pub fn spawn(&self, parts: &mut Lifecycle, readiness: &Readiness, shutdown: &CancellationToken) {
        let latch = readiness.latch("the issuer's keys");
        parts.spawn("issuer", Arc::clone(&self.0).refresh(latch, shutdown.clone()));
    }

    /// Whose token it is, and what it permits.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`], or [`Refusal::NoKeys`] if it can't be checked.
    pub(super) async fn check(&self, token: &str) -> Result<Identity, Refusal> {
        let keys = self.0.current().ok_or(Refusal::NoKeys)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::InvalidToken("the token is longer than 8192 bytes"));
        }
        let header =
            decode_header(token).map_err(|_| Refusal::InvalidToken("the token is no JWT of a known algorithm"))?;
        let validation = self.0.validations.iter().find(|validation| validation.algorithms.contains(&header.alg));
        let validation = validation.ok_or(Refusal::InvalidToken("the token's algorithm is not asymmetric"))?;
        let claims = |keys: &KeySet| {
            keys.find(header.kid.as_deref(), header.alg).map(|key| decode::<Claims>(token, key, validation))
        };
        let decoded = match claims(&keys) {
            Some(decoded) => decoded,
            None => claims(&*self.0.newer(&keys).await).ok_or(Refusal::InvalidToken("the issuer has no such key"))?,
        };
        decoded.map_err(|error| Refusal::InvalidToken(reason(&error)))?.claims.identity()
    }
}

impl Inner {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys after a fetch, if one is due: those that wait here at once share it.
    async fn newer(&self, than: &Arc<KeySet>) -> Arc<KeySet> {
        let mut asked = self.asked.lock().await;
        let current = self.current().unwrap_or_else(|| Arc::clone(than));
        if !Arc::ptr_eq(&current, than) || asked.is_some_and(|at| at.elapsed() < FETCH_PAUSE) {
            return current;
        }
        *asked = Some(Instant::now());
        self.fetch().await;
        self.current().unwrap_or(current)
    }

    /// Fetches keys, and says whether there were some. It is told once when they can't be had, and once when they can again.
    async fn fetch(&self) -> bool {
        match self.source.read().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the issuer's keys can be had again");
                }
                true
            }
            Err(error) => {
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    let error = chain(error.as_ref());
                    tracing::warn!(error, "the issuer's keys can't be had; those that were are kept");
                }
                false
            }
        }
    }

    /// A fetch that a token caused may have failed, too: whoever finds the source away, it is asked again soon.
    async fn refresh(self: Arc<Self>, latch: Latch, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (mut latch, mut fetched_at) = (Some(latch), None::<Instant>);
        loop {
            let is_due = fetched_at.is_none_or(|at| at.elapsed() >= REFRESH) || self.is_away.load(Ordering::Relaxed);
            if is_due {
                let Some(fetched) = shutdown.run_until_cancelled(self.fetch()).await else { return Ok(()) };
                fetched_at = Some(Instant::now());
                if fetched && let Some(latch) = latch.take() {
                    latch.set();
                }
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                return Ok(());
            }
        }
    }
}

impl Claims {
    fn identity(self) -> Result<Identity, Refusal> {
        let subject = self.sub.map(|sub| {
            Subject::parse(&sub).ok_or(Refusal::InvalidToken("sub is not 1 to 255 visible ASCII characters"))
        });
        let scopes = [self.scope, self.scp].into_iter().flatten().flat_map(ScopeClaim::scopes).collect();
        Ok(Identity::bearer(subject.transpose()?, scopes))
    }
}

impl ScopeClaim {
    fn scopes(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            Self::List(list) => list,
        }
    }
}

/// What the client may know of why its token is not good.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not good yet",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of exp, iss and aud",
        _ => "the token is malformed",
    }
}
