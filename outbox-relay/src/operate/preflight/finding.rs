//! A finding of the preflight: what is not as it should be, its consequence, and how to fix it.

use std::borrow::Cow;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A promise does not hold.
    Error,
    /// A promise holds by luck, or at a price.
    Warning,
    /// Good to know, or not to be found out from here.
    Note,
}

impl Severity {
    pub(super) const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// The name in labels and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Which setting, for programs.
    pub setting: Cow<'static, str>,
    pub what: String,
    pub why: &'static str,
    pub fix: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        setting: impl Into<Cow<'static, str>>,
        what: String,
        why: &'static str,
        fix: &str,
    ) -> Self {
        Self { severity, setting: setting.into(), what, why, fix: fix.to_owned() }
    }

    /// Something could not be asked.
    pub(super) fn unasked(setting: &'static str, what: String) -> Self {
        let why = "what was not checked may be wrong";
        Self::new(Severity::Note, setting, what, why, "try again when it answers")
    }
}

/// What each server has, or that it could not be asked.
pub(super) struct Answers {
    pub(super) database: Result<Vec<Finding>, Finding>,
    pub(super) stream: Result<Vec<Finding>, Finding>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Whether database and broker both answered.
    pub is_complete: bool,
}

impl Findings {
    /// Whether a promise does not hold.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether something must be fixed before a strict relay runs.
    pub fn refuse(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity != Severity::Note)
    }
}

impl From<Answers> for Findings {
    fn from(Answers { database, stream }: Answers) -> Self {
        let is_complete = database.is_ok() && stream.is_ok();
        let mut findings: Vec<Finding> =
            [database, stream].into_iter().flat_map(|answer| answer.unwrap_or_else(|unasked| vec![unasked])).collect();
        findings.sort_by_key(|finding| finding.severity);
        Self { findings, is_complete }
    }
}

impl Findings {
    pub(super) fn log(&self) {
        self.log_new(None);
    }

    /// What was not found before, and what is found no more.
    pub(super) fn log_new(&self, before: Option<&Self>) {
        let lacks = |found: &Self, one: &Finding| {
            !found.findings.iter().any(|other| (&other.setting, &other.what) == (&one.setting, &one.what))
        };
        for finding in self.findings.iter().filter(|one| before.is_none_or(|before| lacks(before, one))) {
            let Finding { severity, setting, what, why, fix } = finding;
            let setting: &str = setting;
            match severity {
                Severity::Error => tracing::error!(setting, what, why, fix, "preflight"),
                Severity::Warning => tracing::warn!(setting, what, why, fix, "preflight"),
                Severity::Note => tracing::info!(setting, what, why, fix, "preflight"),
            }
        }
        for finding in before.iter().flat_map(|before| &before.findings).filter(|one| lacks(self, one)) {
            tracing::info!(setting = &*finding.setting, what = finding.what, "preflight: is no longer so");
        }
    }
}
