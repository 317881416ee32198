//! Lines over one axis, each named at its end.

use super::svg::{Anchor, COLOURS, GREY, Svg, number, round_up};
use crate::findings::Curves;

const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 240.0;
const NAMES: f64 = 130.0;

pub(crate) fn draw(curves: &Curves) -> String {
    let points = || curves.lines.iter().flat_map(|line| &line.points);
    let right = points().map(|point| point.0).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let top = round_up(points().map(|point| point.1).fold(0.0, f64::max));
    let place = |(x, y): (f64, f64)| (LEFT + WIDTH * x / right, TOP + HEIGHT * (1.0 - y / top));
    let mut svg = Svg::new(LEFT + WIDTH + NAMES, TOP + HEIGHT + 45.0);
    svg.text((LEFT, 14.0), Anchor::Start, &curves.title);
    svg.text((LEFT, 30.0), Anchor::Start, &curves.up);
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y) = place((right * share, top * share));
        svg.line(&[(LEFT, y), (LEFT + WIDTH, y)], GREY, 0.4);
        svg.text((LEFT - 6.0, y + 4.0), Anchor::End, &number(top * share));
        svg.text((x, TOP + HEIGHT + 16.0), Anchor::Middle, &number(right * share));
    }
    svg.text((LEFT + WIDTH / 2.0, TOP + HEIGHT + 36.0), Anchor::Middle, &curves.across);
    for (index, (line, colour)) in curves.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let places: Vec<_> = line.points.iter().map(|point| place(*point)).collect();
        svg.line(&places, colour, 2.0);
        let y = TOP + 14.0 * index as f64;
        svg.rectangle((LEFT + WIDTH + 10.0, y), (10.0, 10.0), colour);
        svg.text((LEFT + WIDTH + 26.0, y + 9.0), Anchor::Start, &line.name);
    }
    svg.finish()
}
