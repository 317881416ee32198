//! What an inbox reads, and under which names it keeps what it knows.

/// One consumer of one stream. A service that reads several streams has an inbox for each, in the same tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The stream.
    pub stream: String,
    /// The name of the durable consumer at the broker, and of all its rows in the tables of the inbox.
    pub consumer: String,
    /// The aggregates that this inbox is about. Messages of others are none of its business: they are passed over.
    pub aggregate_type: String,
}

impl Source {
    /// A consumer of the events of one type of aggregate.
    pub fn new(stream: &str, consumer: &str, aggregate_type: &str) -> Self {
        Self { stream: stream.to_owned(), consumer: consumer.to_owned(), aggregate_type: aggregate_type.to_owned() }
    }
}
