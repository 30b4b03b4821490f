//! Lines over a logarithmic axis, as SVG: the little that `docs/performance.md` needs.

use std::fmt::Write as _;

/// A number and what was measured there.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Where, above 0.
    pub x: f64,
    /// The figure.
    pub y: f64,
    /// The lowest of its rounds.
    pub low: f64,
    /// The highest of its rounds.
    pub high: f64,
}

/// Lines with a name each.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What is seen.
    pub title: String,
    /// What the horizontal axis counts; it is logarithmic.
    pub x: String,
    /// The unit of the vertical axis, which begins at 0.
    pub y: String,
    /// The lines, by their names.
    pub lines: Vec<(String, Vec<Point>)>,
}

/// The picture, and the field in it.
const WIDTH: f64 = 740.0; // beyond RIGHT, room for half of the longest label
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 350.0;
/// One colour for each line; both can be told apart by who does not tell red from green, and on paper.
const COLOURS: [&str; 3] = ["#1f5fa8", "#d9822b", "#666666"];

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|(_, points)| points);
        let decades = |x: f64| x.max(1.0).log10();
        let first = all().map(|p| decades(p.x)).fold(f64::INFINITY, f64::min);
        let last = all().map(|p| decades(p.x)).fold(0.0, f64::max);
        let highest = all().map(|p| p.high).fold(0.0, f64::max);
        let tick = step(highest);
        let top = (highest / tick).ceil().max(1.0) * tick;
        let across = (last - first).max(f64::MIN_POSITIVE);
        let at_x = |x: f64| LEFT + (RIGHT - LEFT) * (decades(x) - first) / across;
        let at_y = |y: f64| BOTTOM - (BOTTOM - TOP) * y / top;

        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let mut text = |x: f64, y: f64, anchor: &str, what: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
                escaped(what)
            );
        };
        text(LEFT, 24.0, "start", &self.title);
        text(LEFT - 8.0, TOP - 14.0, "end", &self.y);
        text(RIGHT, BOTTOM + 42.0, "end", &self.x);
        for (n, (name, _)) in self.lines.iter().enumerate() {
            text(LEFT + 40.0, 46.0 + 18.0 * n as f64, "start", name);
        }
        let mut ticks: Vec<f64> = all().map(|p| p.x).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        for &x in &ticks {
            text(at_x(x), BOTTOM + 20.0, "middle", &thousands(x));
        }
        let levels = || {
            std::iter::successors(Some(0.0), |y| Some(y + tick))
                .take_while(|y| *y <= top + tick / 2.0)
        };
        for y in levels() {
            text(LEFT - 8.0, at_y(y) + 4.0, "end", &format!("{y}"));
        }
        for y in levels().map(at_y) {
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>"
            );
        }
        for (n, (_, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let y = 42.0 + 18.0 * n as f64;
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                LEFT + 30.0
            );
            let path: Vec<String> = points
                .iter()
                .map(|p| format!("{:.1},{:.1}", at_x(p.x), at_y(p.y)))
                .collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for p in points {
                let (x, low, high) = (at_x(p.x), at_y(p.low), at_y(p.high));
                let _ = writeln!(
                    out,
                    "<line x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\" stroke=\"{colour}\"/>\n\
                     <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    at_y(p.y)
                );
            }
        }
        out + "</svg>\n"
    }
}

/// 1, 2 or 5 times a power of ten, so that there are some five up to `highest`.
fn step(highest: f64) -> f64 {
    let rough = (highest / 5.0).max(1e-6);
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    let fitting = times.into_iter().find(|times| times * power >= rough);
    fitting.unwrap_or(10.0) * power
}

fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (highest, expected) in [(5.0, 1.0), (6.3, 2.0), (18.0, 5.0), (0.9, 0.2)] {
            assert!((step(highest) - expected).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn points_lie_in_the_field() {
        let point = |x, y| Point {
            x,
            y,
            low: y - 1.0,
            high: y + 1.0,
        };
        let plot = Plot {
            title: "a < b".to_owned(),
            x: "sessions".to_owned(),
            y: "µs".to_owned(),
            lines: vec![("one".to_owned(), vec![point(10.0, 5.0), point(1e5, 7.0)])],
        };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b") && svg.contains("100,000"));
        // The first at the left edge, the last at the right one, both between top and bottom; the axis ends at 8.
        assert!(svg.contains("points=\"60.0,181.2 700.0,113.8\""), "{svg}");
    }
}
