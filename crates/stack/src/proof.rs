//! The proof that nothing was lost, repeated or reordered: careful customers who write down what they were answered, evidence
//! read from the tables, the streams and the payment provider's books and at the mail server, and claims that compare the two.
//!
//! Guarantees nothing about the moment: the pipeline has to be drained, or the claims say what is missing. Trusts no
//! service: the only answers that count are those that the customers got at the time.

mod claim;
mod claims;
mod customers;
mod evidence;

pub use claim::Claim;
pub use claims::{Sender, check, check_emails};
pub use customers::{Asked, Cancel, Customers, TROUBLESOME};
pub use evidence::{
    Evidence, Intent, Key, Message, Notification, Order, OutboxEvent, Payment, Payments, ProviderEffect, Purpose,
};

use evidence::Log;
