//! Pages of other origins: a browser lets them read an answer only if the service says so (CORS, in the Fetch standard).
//!
//! Off unless origins are named, each exactly. Requests carry their token in `Authorization`, never a cookie, so credentials in the
//! standard's sense are not allowed. A preflight is answered before anybody is asked for a token, because a browser sends none with it.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::CorsLayer;
use url::Url;

/// How long a browser may keep the answer to a preflight.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Which pages may ask the API.
#[derive(Clone, Debug, clap::Args)]
pub struct CorsConfig {
    /// Origins whose pages may ask the API from a browser, https://HOST or https://HOST:PORT, separated by commas. None: only pages of the
    /// API's own origin.
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<HeaderValue>,
}

impl CorsConfig {
    /// The routes, with what browsers have to be told.
    pub fn around(&self, routes: Router) -> Router {
        if self.cors_origins.is_empty() {
            return routes;
        }
        let layer = CorsLayer::new()
            .allow_origin(self.cors_origins.clone())
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(
                [
                    "authorization",
                    "content-type",
                    "if-match",
                    "if-none-match",
                    "idempotency-key",
                    "x-request-id",
                    "traceparent",
                ]
                .map(name),
            )
            .expose_headers(
                ["etag", "location", "retry-after", "idempotency-replayed", "x-request-id", "www-authenticate"]
                    .map(name),
            )
            .max_age(MAX_AGE);
        routes.layer(layer)
    }
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Takes an origin, letter by letter as a browser sends it; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let rule = "an origin is such as https://shop.example or http://localhost:3000: no path, no *, in lower case, no default port";
    let url = Url::parse(text).map_err(|_| rule)?;
    let is_origin =
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text && !text.contains('*');
    if is_origin { HeaderValue::from_str(text).map_err(|_| rule.to_owned()) } else { Err(rule.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_sends_as_an_origin_is_taken() {
        for text in ["https://shop.example", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:1"] {
            assert_eq!(origin(text).unwrap(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "shop.example",
            "https://shop.example/",
            "https://shop.example/page",
            "https://Shop.example",
            "https://shop.example:443",
            "https://*.shop.example",
            "https://user@shop.example",
            "file:///index.html",
            "https://shop.example?x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
