//! What customers order: each another product for another address. One constant address would flatter the index of addresses,
//! and the service that it is cheap for.

/// order-svc counts orders as it does by default: the addresses are random, so none reaches the bound.
pub(crate) const BOUND: (&str, &str) = ("ORDERS_PER_CUSTOMER_PER_HOUR", "100");

/// The payload of an order's event, made beforehand: no index has it.
pub(crate) const PAYLOAD: &str = r#"{"schema_version":1,"order_id":"019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10","product":"Espresso machine","quantity":2,"placed_at":"2026-11-22T11:30:00.123456Z"}"#;

/// An order's content.
#[derive(Clone, Debug)]
pub(crate) struct Basket {
    pub(crate) product: String,
    pub(crate) email: String,
}

impl Basket {
    /// One of a thousand products, for one of sixteen million customers. All are as long as each other.
    pub(crate) fn random() -> Basket {
        Basket {
            product: format!("Espresso machine {:03}", fastrand::u16(..1000)),
            email: format!("ada.{:06x}@example.com", fastrand::u32(..1 << 24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn customers_differ_and_orders_are_as_long_as_each_other() {
        let baskets: Vec<_> = (0..1000).map(|_| Basket::random()).collect();
        assert!(baskets.iter().map(|basket| &basket.email).collect::<HashSet<_>>().len() > 900);
        let lengths: HashSet<_> = baskets.iter().map(|basket| (basket.product.len(), basket.email.len())).collect();
        assert_eq!(lengths.len(), 1);
    }
}
