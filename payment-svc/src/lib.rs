//! payment-svc: charges customers for their orders, and refunds them.

pub mod provider;
