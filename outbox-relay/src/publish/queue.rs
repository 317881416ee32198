//! What is still to be published of a claimed batch.

use std::collections::{HashMap, VecDeque};

use schema::sequence::{Seq, StreamSeq};

use crate::event::{Aggregate, Event};

/// Events in the order of `seq`, without those that have to wait for an earlier one of their aggregate.
#[derive(Debug)]
pub struct Queue {
    events: VecDeque<Event>,
    /// What is not in the stream, by aggregate: nothing behind it may go.
    stopped: HashMap<Aggregate, Seq>,
}

impl Queue {
    /// All of a batch.
    pub fn new(events: Vec<Event>) -> Self {
        Self { events: events.into(), stopped: HashMap::new() }
    }

    /// How many there are at most.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The next one that may go.
    pub fn next(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            let is_behind = |seq: &Seq| *seq < event.seq;
            if self.stopped.is_empty() || !self.stopped.get(&event.aggregate()).is_some_and(is_behind) {
                return Some(event);
            }
        }
        None
    }

    /// The next ones that may go, at most so many.
    pub fn take(&mut self, count: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).take(count).collect()
    }

    /// Puts events back in front that were taken and not stored.
    pub fn put_back(&mut self, events: impl DoubleEndedIterator<Item = Event>) {
        for event in events.rev() {
            self.events.push_front(event);
        }
    }

    /// This event is not in the stream: those of its aggregate behind it wait.
    pub fn stop(&mut self, event: &Event) {
        let stopped = self.stopped.entry(event.aggregate()).or_insert(event.seq);
        *stopped = event.seq.min(*stopped);
    }

    /// Takes out the events that were found in the stream, each with its sequence there, and takes them out of what was found.
    pub fn take_stored(&mut self, found: &mut HashMap<String, StreamSeq>) -> Vec<(Event, StreamSeq)> {
        let mut stored = Vec::new();
        for event in std::mem::take(&mut self.events) {
            match found.remove(&event.msg_id()) {
                Some(stream_seq) => stored.push((event, stream_seq)),
                None => self.events.push_back(event),
            }
        }
        stored
    }
}
