//! What the stream takes, as it is and not as the settings have it.
//!
//! An operator may edit the stream at any time. So its subjects and its largest message are read each time that the relay
//! asks for the stream: at attach, and at each check for losses. What the stream doesn't take waits, and goes on by itself
//! when the stream takes it again.

use std::sync::{Arc, PoisonError, RwLock};

use crate::subject::Pattern;

/// What is known of the stream; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Terms(Arc<RwLock<Option<Arc<Taken>>>>);

/// What the stream takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub subjects: Vec<Pattern>,
    /// The largest message, in bytes, if the stream has a limit of its own.
    pub message_bytes_max: Option<u64>,
}

impl Terms {
    /// As the stream was last seen; none if it was not seen yet.
    pub fn now(&self) -> Option<Arc<Taken>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what the stream takes now.
    pub fn note(&self, taken: Taken) {
        let before = self.now();
        if before.as_deref() != Some(&taken) {
            if before.is_some() {
                tracing::warn!(?taken, "the stream was edited: it takes other messages now");
            }
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(taken));
        }
    }
}

impl Taken {
    /// Whether the stream takes events for this subject.
    pub fn takes(&self, subject: &str) -> bool {
        self.subjects.iter().any(|pattern| pattern.matches(subject))
    }

    /// The subjects, for people.
    pub fn said(&self) -> String {
        self.subjects.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ")
    }
}
