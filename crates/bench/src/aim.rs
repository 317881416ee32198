//! What each figure is, what it is compared with, and what we want of it: the one list that the table of a run, its report and
//! docs/benchmarks.md are made from. A figure that is not in it is reported without a judgement.

use std::fmt;

/// What we want of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// Of its ratio.
    RatioAtLeast(f64),
    /// Of its ratio.
    RatioAtMost(f64),
    /// Of its value.
    AtMost(f64),
    /// Its value is no more than a quarter above its limit, the first sample, but for so much.
    Flat(f64),
}

/// How a figure stands to what we want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// It must not be believed, or something went wrong.
    Failed,
    /// Nothing is wanted of it.
    Unjudged,
}

impl Aim {
    /// Whether a figure with this value, limit and ratio is what we want.
    pub(crate) fn is_met(self, value: f64, limit: Option<f64>, ratio: Option<f64>) -> bool {
        match self {
            Aim::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Aim::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
            Aim::AtMost(most) => value <= most,
            Aim::Flat(slack) => limit.is_some_and(|first| value <= first * 1.25 + slack),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aim::RatioAtLeast(least) => write!(f, "ratio at least {least}"),
            Aim::RatioAtMost(most) => write!(f, "ratio at most {most}"),
            Aim::AtMost(most) => write!(f, "at most {most}"),
            Aim::Flat(_) => write!(f, "flat"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Failed => "FAILED",
            Verdict::Unjudged => "",
        })
    }
}

/// What is known of a figure by its name.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// What it is and, after a colon, its limit.
    pub(crate) what: &'static str,
    pub(crate) aim: Option<Aim>,
}

/// Of a figure.
pub(crate) fn of(name: &str) -> Option<Aim> {
    entry(name).and_then(|entry| entry.aim)
}

/// Of a figure.
pub(crate) fn what(name: &str) -> &'static str {
    entry(name).map(|entry| entry.what).unwrap_or_default()
}

fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

const fn entry_of(name: &'static str, what: &'static str, aim: Aim) -> Entry {
    Entry { name, what, aim: Some(aim) }
}

const fn unjudged(name: &'static str, what: &'static str) -> Entry {
    Entry { name, what, aim: None }
}

/// By which a program's memory may differ for no reason.
const MEGABYTES: f64 = 4.0;

/// What may wait at any moment under full load, without growing.
const WAITING: f64 = 2000.0;

/// In the order of the sections.
pub(crate) static ENTRIES: &[Entry] = &[
    entry_of("write_32", "orders over HTTP, 32 clients: the bare transaction of one order", Aim::RatioAtLeast(2.5)),
    entry_of("write_32_group", "the same: a bare group of the same mean size", Aim::RatioAtLeast(0.5)),
    entry_of("write_64", "orders over HTTP, 64 clients: the bare transaction of one order", Aim::RatioAtLeast(3.0)),
    entry_of("write_64_group", "the same: a bare group of the same mean size", Aim::RatioAtLeast(0.5)),
    entry_of("write_1", "p50 of one client: the bare transaction", Aim::RatioAtMost(1.3)),
    entry_of("open_25_p50", "p50 at 25 % of the rate without groups: without groups", Aim::RatioAtMost(1.0)),
    entry_of("open_25_p99", "p99 at 25 %: without groups", Aim::RatioAtMost(1.0)),
    entry_of("open_50_p50", "p50 at 50 %: without groups", Aim::RatioAtMost(1.0)),
    entry_of("open_50_p99", "p99 at 50 %: without groups", Aim::RatioAtMost(1.0)),
    entry_of("open_75_p50", "p50 at 75 %: without groups", Aim::RatioAtMost(1.0)),
    entry_of("open_75_p99", "p99 at 75 %: without groups", Aim::RatioAtMost(1.0)),
    entry_of("relay_durable", "everything on: bare atomic batches", Aim::RatioAtLeast(0.48)),
    entry_of("relay_careful", "single publishes, default sync: bare publishes", Aim::RatioAtLeast(0.3)),
    entry_of("commit_to_puback_p50", "100 orders/s: the same round trips without the relay", Aim::AtMost(1.0)),
    entry_of("commit_to_puback_p99", "100 orders/s: the same round trips without the relay", Aim::AtMost(4.0)),
    entry_of("relay_scale_inspect", "the slowest of schema/inspect/orders, its pages read", Aim::AtMost(100.0)),
    unjudged("relay_scale_status", "GET /api/orders/events/status, its pages read"),
    entry_of("relay_scale", "drain behind a long history: with ten thousand events", Aim::RatioAtLeast(0.8)),
    entry_of("relay_scale_pause", "the longest time between two of its settles", Aim::AtMost(1000.0)),
    entry_of("relay_scale_memory", "the relay's peak memory meanwhile", Aim::AtMost(64.0)),
    entry_of("relay_scale_purging", "the drain while the history is purged: without", Aim::RatioAtLeast(0.8)),
    entry_of("relay_scale_purging_pause", "the longest time between two of its settles", Aim::AtMost(1000.0)),
    unjudged("relay_scale_purged", "events purged a second during that drain"),
    entry_of("inbox", "notify-svc, batches of 256: bare consume and insert", Aim::RatioAtLeast(0.6)),
    entry_of("inbox_1000", "notify-svc, batches of 1,000: bare consume and insert", Aim::RatioAtLeast(0.6)),
    entry_of("commit_to_effect_p50", "100 orders/s: the same way without our programs", Aim::AtMost(2.5)),
    entry_of("commit_to_effect_p99", "100 orders/s: the same way without our programs", Aim::AtMost(8.0)),
    unjudged("commit_to_effect_max", "the slowest of these"),
    entry_of(
        "recover_failover",
        "SIGKILL to the standby's first publish, the slowest: the lease time",
        Aim::AtMost(3.5),
    ),
    entry_of("recover_backlog", "an hour at 500 orders/s drained: a bare publisher", Aim::AtMost(60.0)),
    entry_of("e2e", "orders notified within a second, everything on: the bare transaction", Aim::RatioAtLeast(1.0)),
    entry_of(
        "peer_durable",
        "the relay, the broker syncs each batch: the warm half of Debezium",
        Aim::RatioAtLeast(1.3),
    ),
    unjudged("peer_durable_whole", "the same: the whole of Debezium's run"),
    entry_of("peer_default", "the relay, default sync: the warm half of Debezium", Aim::RatioAtLeast(1.3)),
    unjudged("peer_default_whole", "the same: the whole of Debezium's run"),
    unjudged("peer_memory", "the relay's peak memory: Debezium's"),
    unjudged("e2e_late", "orders notified later than that"),
    entry_of("e2e_memory_outbox_relay", "memory at the end: at the beginning", Aim::Flat(MEGABYTES)),
    entry_of("e2e_memory_payment_relay", "memory at the end: at the beginning", Aim::Flat(MEGABYTES)),
    entry_of("e2e_memory_notify_svc", "memory at the end: at the beginning", Aim::Flat(MEGABYTES)),
    entry_of("e2e_memory_payment_svc", "memory at the end: at the beginning", Aim::Flat(MEGABYTES)),
    entry_of("e2e_memory_order_svc", "memory at the end: at the beginning", Aim::Flat(MEGABYTES)),
    entry_of("e2e_backlog_events", "events not notified, at the end: at the beginning", Aim::Flat(WAITING)),
    entry_of("e2e_backlog_emails", "emails not sent, at the end: at the beginning", Aim::Flat(WAITING)),
    entry_of("e2e_backlog_payments", "payments under way, at the end: at the beginning", Aim::Flat(WAITING)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_at_its_bound() {
        let is_met = |aim: Aim| aim.is_met(30.0, Some(20.0), Some(1.5));
        assert!(is_met(Aim::RatioAtLeast(1.5)) && is_met(Aim::RatioAtMost(1.5)));
        assert!(is_met(Aim::AtMost(30.0)) && !is_met(Aim::AtMost(29.0)));
        assert!(is_met(Aim::Flat(5.0)) && !is_met(Aim::Flat(4.9)));
        assert!(!Aim::RatioAtLeast(0.0).is_met(1.0, None, None), "there is no ratio");
    }

    #[test]
    fn nothing_is_met_by_no_number() {
        let aims = [Aim::AtMost(1.0), Aim::RatioAtMost(1.0), Aim::RatioAtLeast(1.0), Aim::Flat(1.0)];
        assert!(!aims.iter().any(|aim| aim.is_met(f64::NAN, Some(f64::NAN), Some(f64::NAN))));
    }

    #[test]
    fn each_figure_is_told_once() {
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert!(!ENTRIES[..index].iter().any(|earlier| earlier.name == entry.name), "{}", entry.name);
        }
    }
}
