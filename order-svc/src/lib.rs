//! order-svc: takes orders and appends their events, in one transaction each.

pub mod domain;
