//! Writing SVG: text, lines and rectangles, in colours that can be read on light and dark pages.

use std::fmt::Write as _;

/// A drawing.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text's anchor is.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Colours of series, told apart also by who does not see red.
pub(crate) const COLOURS: [&str; 8] =
    ["#3b7dd8", "#e08a1e", "#3a9e5c", "#b5489a", "#7a6ff0", "#8c6d46", "#159a9c", "#c94f4f"];
pub(crate) const GREY: &str = "#888888";

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Svg {
        Svg { width, height, body: String::new() }
    }

    pub(crate) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
        ));
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        self.add(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="2" fill="{colour}"/>"#));
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.add(format_args!(r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>"#));
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.add(format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#));
    }

    pub(crate) fn finish(self) -> String {
        let Svg { width, height, body } = self;
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}">
<g font-family="sans-serif" font-size="12" fill="{GREY}">
{body}</g>
</svg>
"##
        )
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a String takes everything");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A round number at or above this one: the end of an axis.
pub(crate) fn round_up(number: f64) -> f64 {
    if number <= 0.0 || !number.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(number.log10().floor());
    let step = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter().find(|step| step * power >= number);
    step.unwrap_or(10.0) * power
}

/// A number as a person would write it.
pub(crate) fn number(number: f64) -> String {
    let digits = match number.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.digits$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |positive| ("-", positive));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}{rest}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0.0, 0.456, 12.34, 999.6, 1_234_567.0].map(number), ["0.00", "0.46", "12.3", "1,000", "1,234,567"]);
        assert_eq!(number(-1234.0), "-1,234");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([0.0, 0.9, 1.0, 2.3, 14_100.0].map(round_up), [1.0, 1.0, 1.0, 3.0, 15_000.0]);
    }

    #[test]
    fn what_is_written_is_no_markup() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((1.0, 2.0), Anchor::End, "a < b & c");
        assert!(svg.finish().contains(r#"<text x="1.0" y="2.0" text-anchor="end">a &lt; b &amp; c</text>"#));
    }
}
