//! Whose an order is, and whose orders somebody may see.

use schema::email;

/// A customer, as the issuer of their tokens knows them: `sub`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomerId(String);

/// How a person names a customer whose orders are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By `sub`.
    Customer(CustomerId),
    /// By the address that the orders have.
    Address(String),
}

/// Whose orders somebody may see and cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All orders.
    Anybodys,
    /// This customer's own. Others' are as if they did not exist.
    Of(CustomerId),
}

impl Subject {
    /// Whoever ordered with this address.
    ///
    /// # Errors
    /// What it must be.
    pub fn address(address: &str) -> Result<Self, &'static str> {
        let is_one = email::is_plain(address);
        is_one.then(|| Self::Address(address.to_owned())).ok_or("must be a plain email address, as an order's is")
    }
}

impl CustomerId {
    /// Takes a name that was checked where it came in, or read from the database.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
