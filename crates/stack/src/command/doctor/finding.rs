//! What a check found, as a line for people and an object for programs.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::terminal::{bad, good, one_line};
use serde::Serialize;

/// Clocks that differ by more make ages and times lie. No promise rests on them.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(2);

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: String,
    state: State,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Well,
    Unwell,
    NotChecked,
}

impl Finding {
    pub(super) fn well(check: String, found: String) -> Self {
        Self { check, state: State::Well, found, advice: None }
    }

    pub(super) fn unwell(check: String, found: String, advice: &'static str) -> Self {
        Self { check, state: State::Unwell, found, advice: Some(advice) }
    }

    /// The check holds if there is nothing to say against it.
    pub(super) fn of(check: String, fault: Option<String>, found: String, advice: &'static str) -> Self {
        match fault {
            Some(fault) => Self::unwell(check, fault, advice),
            None => Self::well(check, found),
        }
    }

    pub(super) fn unasked(check: String) -> Self {
        let found = "nobody said where it is; see --help".to_owned();
        Self { check, state: State::NotChecked, found, advice: None }
    }

    /// Whether a clock agrees with this machine's, which was asked between these two times.
    pub(super) fn clock(of: &str, told: DateTime<Utc>, asked: (DateTime<Utc>, DateTime<Utc>)) -> Self {
        let (check, (before, after)) = (format!("clock of {of}"), asked);
        let ahead = if told > after { told - after } else { TimeDelta::zero() };
        let behind = if told < before { before - told } else { TimeDelta::zero() };
        let skew = ahead.max(behind);
        let way = if ahead > behind { "ahead of" } else { "behind" };
        let fault = format!("it is {:.1} s {way} this machine's", skew.as_seconds_f64());
        let found = format!("within {:.1} s of this machine's", (after - before + skew).as_seconds_f64());
        Self::of(
            check,
            (skew > SKEW_MAX).then_some(fault),
            found,
            "set both by NTP: ages, lags and times are wrong until then",
        )
    }

    /// Whether nobody needs to do anything about it.
    pub(super) fn is_well(&self) -> bool {
        self.state != State::Unwell
    }

    pub(super) fn lines(&self) -> String {
        let (mark, check, found) = match self.state {
            State::Well => (good("ok "), &self.check, one_line(&self.found)),
            State::Unwell => (bad("BAD"), &self.check, one_line(&self.found)),
            State::NotChecked => ("-  ".to_owned(), &self.check, one_line(&self.found)),
        };
        let advice = self.advice.map(|advice| format!("     {advice}\n")).unwrap_or_default();
        format!("{mark}  {check}: {found}\n{advice}")
    }
}
