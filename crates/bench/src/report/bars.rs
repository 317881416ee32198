//! The ratios of all figures as bars, with a mark where we want them and a dot for each round.

use super::svg::{Anchor, COLOURS, GREY, Svg, number};
use crate::aim::{self, Aim, Verdict};
use crate::figure::Figure;

const LABELS: f64 = 190.0;
const WIDTH: f64 = 460.0;
const ROW: f64 = 22.0;
/// A longer bar is cut off, and its number told.
const RATIO_MAX: f64 = 4.0;

/// Draws those that have a ratio.
pub(crate) fn draw(figures: &[&Figure]) -> String {
    let rows: Vec<_> =
        figures.iter().filter_map(|figure| Some((*figure, figure.ratio.filter(|r| r.is_finite())?))).collect();
    let height = ROW * rows.len() as f64 + 2.0 * ROW;
    let mut svg = Svg::new(LABELS + WIDTH + 60.0, height);
    let across = |ratio: f64| LABELS + WIDTH * ratio.min(RATIO_MAX) / RATIO_MAX;
    for ratio in [0.0, 1.0, 2.0, 3.0, 4.0] {
        svg.line(&[(across(ratio), ROW * 0.8), (across(ratio), height - ROW)], GREY, 0.4);
        svg.text((across(ratio), ROW * 0.6), Anchor::Middle, &format!("{ratio:.0}"));
    }
    for (index, (figure, ratio)) in rows.into_iter().enumerate() {
        let top = ROW * (index as f64 + 1.0);
        let (middle, colour) = (top + ROW / 2.0, colour(figure.verdict()));
        svg.text((LABELS - 8.0, middle + 4.0), Anchor::End, &figure.name);
        svg.rectangle((LABELS, top + 5.0), (across(ratio) - LABELS, ROW - 10.0), colour);
        figure.rounds.iter().for_each(|round| svg.dot((across(*round), middle), GREY));
        if let Some(Aim::RatioAtLeast(wanted) | Aim::RatioAtMost(wanted)) = aim::of(&figure.name) {
            svg.line(&[(across(wanted), top + 1.0), (across(wanted), top + ROW - 1.0)], GREY, 2.0);
        }
        svg.text((across(ratio) + 6.0, middle + 4.0), Anchor::Start, &number(ratio));
    }
    svg.text(
        (LABELS, height - 6.0),
        Anchor::Start,
        "ratio to the limit; bar: median, dots: rounds, upright mark: what we want",
    );
    svg.finish()
}

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => COLOURS[2],
        Verdict::Missed => COLOURS[1],
        Verdict::Failed => COLOURS[7],
        Verdict::Unjudged => COLOURS[0],
    }
}
