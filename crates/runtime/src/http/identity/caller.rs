//! The caller as handlers know it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::refusal::Refusal;

/// Characters that a [`Subject`] may have.
const SUBJECT_CHARS_MAX: usize = 255;

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    subject: Option<Subject>,
    scopes: Scopes,
}

/// Whom a token is about, by its claim `sub`: 1 to 255 visible ASCII characters, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scopes {
    /// Nobody is asked for a token.
    All,
    Of(Arc<[String]>),
}

impl Identity {
    /// The caller of a service that asks nobody for a token.
    pub fn anybody() -> Self {
        Self { subject: None, scopes: Scopes::All }
    }

    /// The bearer of a token that was found good.
    pub(super) fn bearer(subject: Option<Subject>, scopes: Vec<String>) -> Self {
        Self { subject, scopes: Scopes::Of(scopes.into()) }
    }

    /// Whether the token has this scope.
    pub fn may(&self, scope: &str) -> bool {
        match &self.scopes {
            Scopes::All => true,
            Scopes::Of(scopes) => scopes.iter().any(|has| has == scope),
        }
    }

    /// Whom the caller acts for: none where nobody is asked for a token.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`] if the token names nobody.
    pub fn subject(&self) -> Result<Option<&Subject>, Refusal> {
        match (&self.scopes, &self.subject) {
            (Scopes::All, _) => Ok(None),
            (Scopes::Of(_), Some(subject)) => Ok(Some(subject)),
            (Scopes::Of(_), None) => Err(Refusal::InvalidToken("the token has no sub")),
        }
    }
}

impl Subject {
    /// None if the text is not what a subject may be. Some databases take `a` and `a ` for the same, so no spaces.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=SUBJECT_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The [`Guard`](super::Guard) has put it there. A route that is in no document has none: a fault of ours, not the client's.
impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_a_database_keeps_and_compares_as_it_is() {
        for text in ["a", "auth0|5f7c8ec7c33c6c004bbafe82", &"x".repeat(255)] {
            assert_eq!(Subject::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a ", "a b", "caf\u{e9}", "a\n", &"x".repeat(256)] {
            assert_eq!(Subject::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_where_nobody_is_asked_for_a_token_is_a_caller_nobody() {
        let ada = Subject::parse("ada");
        assert_eq!(Identity::anybody().subject(), Ok(None));
        assert_eq!(Identity::bearer(ada.clone(), Vec::new()).subject(), Ok(ada.as_ref()));
        assert!(Identity::bearer(None, vec!["orders".to_owned()]).subject().is_err());
        assert!(!Identity::bearer(ada, vec!["orders".to_owned()]).may("orders:all"));
    }
}
