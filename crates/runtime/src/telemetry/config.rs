//! The variables of OpenTelemetry, as its specification has them: which are set, and whether they can work.
//!
//! The SDK reads most of them itself, and goes on with a default where a value is bad. So they are checked here first: a typo
//! ends the process at its start, not the traces without a word. An empty value counts as none. Without an endpoint nothing is
//! read, and nothing is traced.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use crate::exit::Misconfigured;
use crate::tls;

/// Of an export, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise: the specification's.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An export that takes longer than this is no export.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// What the exporter can't read by itself.
#[derive(Debug)]
pub(super) struct Settings {
    /// How long an export may take.
    pub(super) timeout: Duration,
    /// Whom the exporter trusts, instead of the system's authorities.
    pub(super) certificate: Option<PathBuf>,
    /// Whether the variables name the service.
    pub(super) names_service: bool,
}

impl Settings {
    /// What the environment asks for; none if nothing is to be traced.
    ///
    /// # Errors
    /// The variable whose value can't work, and why.
    pub(super) fn read() -> Result<Option<Self>, Misconfigured> {
        Self::of(|name| env::var(name).ok().filter(|value| !value.is_empty())).map_err(Misconfigured)
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        // The variable for traces goes before the one for all signals.
        let of_traces = |name: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
            names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
        };
        let Some((name, endpoint)) = of_traces("ENDPOINT") else { return Ok(None) };
        if is_disabled(&variable)? {
            return Ok(None);
        }
        check_endpoint(&name, &endpoint)?;
        only(of_traces("PROTOCOL"), &["http/protobuf"])?;
        only(of_traces("COMPRESSION"), &["none"])?;
        for name in ["CLIENT_KEY", "CLIENT_CERTIFICATE"] {
            only(of_traces(name), &[])?;
        }
        if let Some((name, headers)) = of_traces("HEADERS") {
            check_headers(&name, &headers)?;
        }
        check_sampler(&variable)?;
        for name in [
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_BSP_EXPORT_TIMEOUT",
        ] {
            variable(name).map_or(Ok(1), |value| number(name, &value))?;
        }
        let timeout = match of_traces("TIMEOUT") {
            Some((name, value)) => Duration::from_millis(number(&name, &value)?).min(TIMEOUT_MAX),
            None => TIMEOUT,
        };
        let certificate = of_traces("CERTIFICATE");
        let certificate =
            certificate.map(|(name, path)| tls::certificates(&path).map_err(|why| format!("{name} {why}")));
        let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        check_pairs("OTEL_RESOURCE_ATTRIBUTES", &attributes)?;
        let names_service = variable("OTEL_SERVICE_NAME").is_some() || attributes.contains("service.name=");
        Ok(Some(Self { timeout, certificate: certificate.transpose()?, names_service }))
    }
}

fn is_disabled(variable: &impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let named = |name: &str| variable(name).map(|value| (name.to_owned(), value));
    let disabled = named("OTEL_SDK_DISABLED").map(|(name, value)| (name, value.to_ascii_lowercase()));
    let exporter = named("OTEL_TRACES_EXPORTER");
    only(disabled.clone(), &["true", "false"])?;
    only(exporter.clone(), &["otlp", "none"])?;
    Ok(disabled.is_some_and(|(_, value)| value == "true") || exporter.is_some_and(|(_, value)| value == "none"))
}

/// Refuses a value that the exporter does not know.
fn only(given: Option<(String, String)>, known: &[&str]) -> Result<(), String> {
    match given {
        Some((name, _)) if known.is_empty() => Err(format!("{name} is not supported: leave it out")),
        Some((name, value)) if !known.contains(&value.as_str()) => {
            Err(format!("{name} {value:?} is not supported: it must be {}", known.join(" or ")))
        }
        _ => Ok(()),
    }
}

fn check_endpoint(name: &str, endpoint: &str) -> Result<(), String> {
    let is_usable = endpoint.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    });
    // It is not repeated: it may carry a password.
    if is_usable { Ok(()) } else { Err(format!("{name} must be a URL such as http://collector:4318")) }
}

/// No value is repeated: it is a secret as a rule.
fn check_headers(name: &str, headers: &str) -> Result<(), String> {
    check_pairs(name, headers)?;
    for pair in headers.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or_default();
        if key.trim().parse::<HeaderName>().is_err() || HeaderValue::from_str(value.trim()).is_err() {
            return Err(format!("{name} holds {:?}, which is no header of HTTP", key.trim()));
        }
    }
    Ok(())
}

fn check_pairs(name: &str, pairs: &str) -> Result<(), String> {
    let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
    if pairs.split(',').all(|pair| pair.trim().is_empty() || is_pair(pair)) {
        return Ok(());
    }
    Err(format!("{name} must be a list such as key1=value1,key2=value2"))
}

fn check_sampler(variable: &impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let sampler = variable("OTEL_TRACES_SAMPLER");
    only(sampler.clone().map(|value| ("OTEL_TRACES_SAMPLER".to_owned(), value)), &SAMPLERS)?;
    if !sampler.is_some_and(|sampler| sampler.ends_with("traceidratio")) {
        return Ok(());
    }
    let ratio = variable("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
    match ratio.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(()),
        _ => Err(format!("OTEL_TRACES_SAMPLER_ARG {ratio:?} must be a number from 0 to 1, such as 0.05")),
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name} {value:?} must be a whole number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn of(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_traced_or_checked_without_an_endpoint() {
        assert!(of(&[]).unwrap().is_none());
        assert!(of(&[("OTEL_TRACES_SAMPLER", "xray")]).unwrap().is_none());
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(of(&[ENDPOINT, off]).unwrap().is_none(), "{off:?}");
        }
    }

    #[test]
    fn what_is_set_for_traces_goes_before_what_is_set_for_all() {
        let timeouts = [("OTEL_EXPORTER_OTLP_TIMEOUT", "x"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500")];
        let settings = of(&[ENDPOINT, timeouts[0], timeouts[1]]).unwrap().unwrap();
        assert_eq!(settings.timeout, Duration::from_millis(1500));
    }

    #[test]
    fn a_value_that_can_not_work_is_refused_by_the_name_of_its_variable() {
        let bad = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/some.pem"),
            ("OTEL_RESOURCE_ATTRIBUTES", "shop"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_SDK_DISABLED", "yes"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ];
        for (name, value) in bad {
            let reason = of(&[(name, value), ENDPOINT]).unwrap_err();
            assert!(reason.starts_with(name) && !reason.contains('\n'), "{reason}");
        }
        for share in ["", "2", "-0.1", "half"] {
            let sampler = [ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", share)];
            assert!(of(&sampler).unwrap_err().starts_with("OTEL_TRACES_SAMPLER_ARG"), "{share}");
        }
    }

    #[test]
    fn a_secret_header_does_not_print() {
        let reason = of(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,api key=hunter2")]).unwrap_err();
        assert!(!reason.contains("hunter2"), "{reason}");
    }
}
