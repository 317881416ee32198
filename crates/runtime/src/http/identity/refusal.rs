//! Why a caller is not let in, and the answer: a problem with `WWW-Authenticate` (RFC 6750, section 3).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;

/// Keys are fetched every few seconds until they can be had.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401: the request has no token.
    NoToken,
    /// 401: the token can't be taken; why.
    InvalidToken(&'static str),
    /// 403: the token lacks this scope, or another that would do.
    InsufficientScope(Cow<'static, str>),
    /// 503: the issuer's keys can't be had, and among those that were, if any, is none for the token.
    NoKeys,
}

impl Refusal {
    /// What the client is answered. Nothing of the token is in it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::NoToken => {
                Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "The request has no bearer token")
                    .challenge(r#"Bearer realm="api""#)
            }
            Self::InvalidToken(reason) => {
                Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The bearer token can't be taken")
                    .detail(*reason)
                    .challenge(format!(r#"Bearer realm="api", error="invalid_token", error_description="{reason}""#))
            }
            Self::InsufficientScope(scope) => {
                Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", "The bearer token permits something else")
                    .detail(format!("The scope {scope} is needed"))
                    .challenge(format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scope}""#))
            }
            Self::NoKeys => {
                let title = "The token can't be checked now";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "issuer-unavailable", title).retry_after(RETRY_AFTER)
            }
        }
    }

    /// All of them for the documentation of an operation that needs this scope.
    pub(in crate::http) fn all(scope: &str) -> [Problem; 4] {
        let scope = Self::InsufficientScope(scope.to_owned().into());
        [Self::NoToken, Self::InvalidToken("the token has expired"), scope, Self::NoKeys]
            .map(|refusal| refusal.problem())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}
