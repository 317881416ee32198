//! What a section hands back: its figures, and curves for the report.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;

/// Of one section.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curves>,
}

impl From<Vec<Figure>> for Findings {
    fn from(figures: Vec<Figure>) -> Findings {
        Findings { figures, curves: Vec::new() }
    }
}

/// Lines over the same axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curves {
    /// Becomes the file's name.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What is told along the axes, with its unit.
    pub(crate) across: String,
    pub(crate) up: String,
    pub(crate) lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}
