//! What stands before the handlers: lets in who may do what the OpenAPI document says of an operation.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, header};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;

use super::caller::Identity;
use super::issuer::Issuer;
use super::refusal::Refusal;

/// What `security` of an operation and `securitySchemes` call a bearer token.
pub const SCHEME: &str = "bearer";

/// Scopes of which a caller of an operation needs one.
#[derive(Clone, Debug)]
struct Demand {
    method: Method,
    scopes: Vec<String>,
}

/// Lets callers in.
#[derive(Clone, Debug)]
pub struct Guard {
    issuer: Option<Issuer>,
    /// By path. An operation that is open to everybody is not here.
    demands: Arc<HashMap<String, Vec<Demand>>>,
}

impl Guard {
    /// Enforces what a document says, by tokens of an issuer. Without one nobody is asked for a token.
    ///
    /// # Panics
    /// If an operation does not say who may ask it.
    pub fn new(issuer: Option<Issuer>, document: &OpenApi) -> Self {
        let mut demands = HashMap::<String, Vec<Demand>>::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in operations {
                let scopes = operation.as_ref().map(scopes).unwrap_or_default();
                if !scopes.is_empty() {
                    demands.entry(path.clone()).or_default().push(Demand { method, scopes });
                }
            }
        }
        Self { issuer, demands: Arc::new(demands) }
    }

    /// Gives a request its caller, if it asks for something that not everybody may.
    ///
    /// # Errors
    /// Why the caller is not let in.
    pub(in crate::http) async fn admit(&self, request: &mut Request) -> Result<(), Refusal> {
        let Some(issuer) = &self.issuer else {
            request.extensions_mut().insert(Identity::anybody());
            return Ok(());
        };
        let Some(scopes) = self.demanded(request) else { return Ok(()) };
        let identity = issuer.check(token(request.headers())?).await?;
        if !scopes.iter().any(|scope| identity.may(scope)) {
            return Err(Refusal::InsufficientScope(scopes[0].clone().into()));
        }
        request.extensions_mut().insert(identity);
        Ok(())
    }

    /// The scopes of which one is needed.
    fn demanded(&self, request: &Request) -> Option<&[String]> {
        let path = request.extensions().get::<MatchedPath>()?;
        // HEAD is answered by the handler of GET.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let demand = self.demands.get(path.as_str())?.iter().find(|demand| demand.method == *method)?;
        Some(&demand.scopes)
    }
}

/// The scopes of which an operation needs one; none if it is open to everybody.
///
/// # Panics
/// If it does not say, or asks for something else than a token: an operation that nobody thought about must not be open.
pub(in crate::http) fn scopes(operation: &Operation) -> Vec<String> {
    let requirements = operation.security.as_ref().expect("every operation says who may ask it");
    let scopes = requirements.iter().flat_map(|requirement| {
        let requirement = serde_json::to_value(requirement).expect("a requirement is plain JSON");
        let mut requirement: HashMap<String, Vec<String>> =
            serde_json::from_value(requirement).expect("it names schemes, each with scopes");
        let scopes = requirement.remove(SCHEME);
        let is_known = requirement.is_empty() && scopes.as_ref().is_none_or(|scopes| !scopes.is_empty());
        assert!(is_known, "an operation is open, or asks for a bearer token with a scope");
        scopes.unwrap_or_default()
    });
    scopes.collect()
}

/// The token of a request, in its one `Authorization`: never one in a query, which ends up in logs.
fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::InvalidToken("there is more than one Authorization"));
    }
    let text = value.to_str().map_err(|_| Refusal::InvalidToken("the token is malformed"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => Ok(token.trim_matches(' ')),
        _ => Err(Refusal::NoToken),
    }
}
