//! Who asks and what they may do: bearer tokens (RFC 6750) that are JWTs (RFC 7519), checked before a handler sees the request.
//!
//! Guarantees that an operation runs only for a token with one of the scopes that its `security` in the OpenAPI document names:
//! the document is what is enforced. Handlers take [`Identity`] and see no token. Without an issuer nobody is asked for one, and
//! everybody may do everything. Leaves it to a service whose things somebody may see.

mod caller;
mod config;
mod guard;
mod held;
mod issuer;
mod keys;
mod refusal;
mod signature;
mod source;

pub use caller::{Identity, Subject};
pub use config::AuthConfig;
pub(super) use guard::scopes;
pub use guard::{Guard, SCHEME};
pub use issuer::Issuer;
pub use refusal::Refusal;
