//! What tests ask a provider for.

use clap::Parser;
use payment_svc::provider::{Charge, IntentId, Provider, ProviderConfig, Refund};
use runtime::config::Validate;
use schema::ids::OrderId;
use stack::testing::LocalStripe;
use uuid::Uuid;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    provider: ProviderConfig,
}

/// Settings of a Stripe at this URL.
pub(crate) fn settings(url: &str, further: &[&str]) -> ProviderConfig {
    let words =
        ["test", "--payment-provider", "stripe", "--stripe-api-url", url, "--stripe-api-key", LocalStripe::API_KEY];
    let settings = Settings::try_parse_from([&words[..], further].concat()).unwrap_or_else(|error| panic!("{error}"));
    settings.provider.validate().unwrap();
    settings.provider
}

/// A Stripe at this URL.
pub(crate) async fn stripe(url: &str, further: &[&str]) -> Provider {
    Provider::open(&settings(url, further)).await.unwrap()
}

pub(crate) fn charge() -> Charge {
    Charge {
        key: Uuid::now_v7().to_string(),
        reference: Uuid::now_v7(),
        order_id: OrderId::generate(),
        amount_minor: 1999.try_into().unwrap(),
        currency: "EUR".parse().unwrap(),
        product: "keyboard".to_owned(),
    }
}

pub(crate) fn refund(charge: &Charge, intent: &IntentId) -> Refund {
    let Charge { reference, order_id, .. } = *charge;
    Refund { key: Uuid::now_v7().to_string(), reference, order_id, intent: intent.clone() }
}
