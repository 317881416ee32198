//! Who issues tokens: checks one by the issuer's keys. Tests: `crates/stack/tests/it/identity.rs`.
//!
//! A token that names a key that is not there is refused as bad only if the keys have just been fetched. Otherwise nobody can say.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::caller::{Identity, Subject};
use super::held::HeldKeys;
use super::keys::KeySet;
use super::refusal::Refusal;
use super::signature::{self, ALGORITHMS};
use super::source::Source;
use crate::lifecycle::Lifecycle;
use crate::readiness::Readiness;

/// A token is a few hundred bytes; some issuers write long lists into theirs.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Checks tokens. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One for each algorithm.
    validations: Vec<Validation>,
    keys: Arc<HeldKeys>,
}

/// What is read from a token.
#[derive(Deserialize)]
struct Claims {
    /// One text: the library would take a list that has the right one in it.
    #[serde(rename = "iss")]
    _iss: Option<String>,
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
        Self(Arc::new(Inner { validations: validations.to_vec(), keys: Arc::new(HeldKeys::new(source)) }))
    }

    /// Keeps the keys up to date. The process is not ready before it has had some.
    pub fn spawn(&self, parts: &mut Lifecycle, readiness: &Readiness, shutdown: &CancellationToken) {
        let latch = readiness.latch("the issuer's keys");
        parts.spawn("issuer", Arc::clone(&self.0.keys).keep(latch, shutdown.clone()));
    }

    /// Whose token it is, and what it permits.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`], or [`Refusal::NoKeys`] if it can't be checked.
    pub(super) async fn check(&self, token: &str) -> Result<Identity, Refusal> {
        let keys = self.0.keys.last().ok_or(Refusal::NoKeys)?;
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
            None => {
                let keys = self.0.keys.renewed().await.ok_or(Refusal::NoKeys)?;
                claims(&keys).ok_or(Refusal::InvalidToken("the issuer has no such key"))?
            }
        };
        decoded.map_err(|error| Refusal::InvalidToken(reason(&error)))?.claims.identity()
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
