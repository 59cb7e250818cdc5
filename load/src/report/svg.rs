//! Line plots as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 6] = ["#0b6e99", "#d9480f", "#2b8a3e", "#862e9c", "#e67700", "#495057"];

pub struct Axis {
    pub name: &'static str,
    pub logarithmic: bool,
}

pub struct Line {
    pub name: String,
    pub points: Vec<[f64; 2]>,
}

pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let usable = values.filter(|value| value.is_finite() && (!logarithmic || *value > 0.0));
        let (low, high) = usable.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 1.0, high: 10.0, logarithmic };
        }
        if logarithmic {
            let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
            return Self { low, high: high.max(low * 10.0), logarithmic };
        }
        Self { low: 0.0, high: if high > 0.0 { high * 1.05 } else { 1.0 }, logarithmic }
    }

    /// 0 to 1.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|decade| self.low * 10_f64.powi(decade)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..=(self.high / step) as u32).map(|tick| f64::from(tick) * step).collect()
    }
}

impl Plot {
    pub fn draw(&self) -> String {
        let values =
            |axis: usize| self.lines.iter().flat_map(move |line| line.points.iter().map(move |point| point[axis]));
        let across = Scale::over(values(0), self.x.logarithmic);
        let up = Scale::over(values(1), self.y.logarithmic);
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let x_of = |value: f64| LEFT + width * across.place(value);
        let y_of = |value: f64| TOP + height * (1.0 - up.place(value));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let mut add = |element: std::fmt::Arguments<'_>| writeln!(svg, "{element}").expect("a String takes everything");
        add(format_args!("<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>", escape(&self.title)));
        for tick in across.ticks() {
            let x = x_of(tick);
            let (top, bottom, label) = (TOP, TOP + height, TOP + height + 18.0);
            add(format_args!("<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#e9ecef\"/>"));
            add(format_args!("<text x=\"{x:.1}\" y=\"{label}\" text-anchor=\"middle\">{}</text>", number(tick)));
        }
        for tick in up.ticks() {
            let (y, right, label) = (y_of(tick), LEFT + width, LEFT - 8.0);
            add(format_args!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e9ecef\"/>"));
            add(format_args!("<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", y + 4.0, number(tick)));
        }
        for (index, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<String> =
                line.points.iter().map(|[x, y]| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
            let points = points.join(" ");
            add(format_args!("<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{points}\"/>"));
            let (x, y) = (LEFT + 12.0, TOP + 18.0 + 16.0 * index as f64);
            add(format_args!("<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>", escape(&line.name)));
        }
        let (x, y) = (LEFT + width / 2.0, HEIGHT - 12.0);
        add(format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escape(self.x.name)));
        add(format_args!("<text x=\"12\" y=\"{}\">{}</text>", TOP - 6.0, escape(self.y.name)));
        svg.push_str("</svg>\n");
        svg
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{}", (value * 1e3).round() / 1e3),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stay_within_the_frame_and_titles_are_escaped() {
        let plot = Plot {
            title: "a < b".into(),
            x: Axis { name: "x", logarithmic: true },
            y: Axis { name: "y", logarithmic: false },
            lines: vec![Line { name: "one".into(), points: vec![[1.0, 0.0], [1_000.0, 7.0]] }],
        };
        let svg = plot.draw();
        assert!(svg.contains("a &lt; b"));
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a polyline");
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').expect("a pair");
            let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{point}");
        }
    }

    #[test]
    fn a_plot_without_points_is_a_plot() {
        let axis = |name| Axis { name, logarithmic: true };
        let plot = Plot { title: String::new(), x: axis("x"), y: axis("y"), lines: Vec::new() };
        assert!(plot.draw().ends_with("</svg>\n"));
    }
}
