//! Line charts as inline SVG, whose colours come from the page's style sheet: they follow the dark mode, as those of the
//! `svg` module cannot.

use super::html::escape;

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// The class of its colour in the style sheet.
    pub colour: &'a str,
    /// Whether it is dashed, to be told apart without its colour.
    pub is_dashed: bool,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// What a chart is about.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// What is drawn.
    pub title: &'a str,
    /// What the horizontal axis counts.
    pub x: &'a str,
    /// What comes after a number of the legend.
    pub unit: &'a str,
}

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
/// Where the axes begin and end: left, right, top and bottom.
const PLOT: [f64; 4] = [52.0, 418.0, 10.0, 218.0];
/// The most points of a line: more could not be seen.
const MOST_POINTS: usize = 400;

/// A figure with a chart of these lines, both axes from 0, and a legend with the last value of each line. Empty if there
/// is nothing to draw.
pub fn chart(labels: Labels, lines: &[Line]) -> String {
    let lines: Vec<&Line> = lines.iter().filter(|line| !line.points.is_empty()).collect();
    let points = || lines.iter().flat_map(|line| &line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    if points().next().is_none() {
        return String::new();
    }
    let most = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(0.0, f64::max);
    let (across, up) = (Axis::to(most(|point| point.0)), Axis::to(most(|point| point.1)));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&description(labels, &lines))
    );
    svg += &axes(labels.x, &across, &up);
    for line in &lines {
        svg += &drawn(line, &across, &up);
    }
    let key = |line: &&Line| {
        let last = line.points.last().map_or(String::new(), |(_, y)| format!(" {}{}", short(*y), labels.unit));
        let dash = if line.is_dashed { " dashed" } else { "" };
        format!("<li><span class=\"key {}{dash}\"></span>{}{last}</li>", line.colour, escape(line.name))
    };
    let legend: String = lines.iter().map(key).collect();
    let title = escape(labels.title);
    format!(
        "<figure class=\"chart\"><figcaption>{title}<ul class=\"legend\">{legend}</ul></figcaption>{svg}</svg></figure>\n"
    )
}

fn description(labels: Labels, lines: &[&Line]) -> String {
    let ends = |line: &&Line| {
        let [first, last] = [line.points.first(), line.points.last()].map(|it| it.map_or(0.0, |point| point.1));
        format!("{} from {} to {}{}", line.name, short(first), short(last), labels.unit.replace("&nbsp;", " "))
    };
    format!("{} by {}: {}", labels.title, labels.x, lines.iter().map(ends).collect::<Vec<_>>().join("; "))
}

fn axes(name: &str, across: &Axis, up: &Axis) -> String {
    let [left, right, top, bottom] = PLOT;
    let mut svg = String::new();
    for value in up.ticks() {
        let y = up.place(value, bottom, top);
        svg += &format!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>");
        svg += &format!("<text x=\"{}\" y=\"{:.1}\" class=\"end\">{}</text>", left - 6.0, y + 4.0, short(value));
    }
    for value in across.ticks() {
        let x = across.place(value, left, right);
        svg += &format!("<text x=\"{x:.1}\" y=\"{}\" class=\"middle\">{}</text>", bottom + 16.0, short(value));
    }
    let middle = (left + right) / 2.0;
    svg + &format!("<text x=\"{middle}\" y=\"{}\" class=\"middle\">{}</text>", HEIGHT - 6.0, escape(name))
}

fn drawn(line: &Line, across: &Axis, up: &Axis) -> String {
    let [left, right, top, bottom] = PLOT;
    let place = |&(x, y): &(f64, f64)| {
        let ends = (across.place(x, left, right), up.place(y, bottom, top));
        format!("{:.1},{:.1}", ends.0, ends.1)
    };
    let points: Vec<String> = thinned(&line.points, MOST_POINTS).map(place).collect();
    let dash = if line.is_dashed { " dashed" } else { "" };
    // A line of one point would be invisible.
    if let [(x, y)] = line.points.as_slice() {
        let (x, y) = (across.place(*x, left, right), up.place(*y, bottom, top));
        return format!("<circle class=\"dot {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>", line.colour);
    }
    format!("<polyline class=\"line {}{dash}\" points=\"{}\"/>", line.colour, points.join(" "))
}

/// At most `most + 1` of them, evenly spread, the last one among them.
pub fn thinned<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    let step = all.len().div_ceil(most).max(1);
    let last = all.len().saturating_sub(1);
    all.iter().enumerate().filter(move |(place, _)| place.is_multiple_of(step) || *place == last).map(|(_, it)| it)
}

/// An axis from 0 to a round number.
struct Axis {
    step: f64,
    end: f64,
}

impl Axis {
    /// One that reaches `most`, in three to seven steps of 1, 2 or 5 times a power of ten.
    fn to(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let power = 10f64.powf((most / 6.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| most / step <= 6.0);
        let step = step.unwrap_or(most);
        Axis { step, end: step * (most / step - 1e-9).ceil() }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=(self.end / self.step).round() as u32).map(|count| f64::from(count) * self.step)
    }

    /// Where a value lies between two ends of a line.
    fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (to - from) * (value / self.end).clamp(0.0, 1.0)
    }
}

/// A number in few characters: 0.05, 12.3, 90, 3e-5.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_string(),
        small if small < 1e-3 => format!("{number:.1e}").replace(".0e", "e"),
        small if small < 1.0 => trimmed(format!("{number:.4}")),
        _ => trimmed(format!("{number:.2}")),
    }
}

fn trimmed(number: String) -> String {
    number.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_reach_the_greatest_value_in_round_steps() {
        for (most, end, step) in
            [(7.0, 8.0, 2.0), (0.31, 0.4, 0.1), (100.0, 100.0, 20.0), (6.0, 6.0, 1.0), (0.0, 1.0, 0.2)]
        {
            let axis = Axis::to(most);
            assert!(
                (axis.end - end).abs() < 1e-9 && (axis.step - step).abs() < 1e-9,
                "{most}: {} {}",
                axis.end,
                axis.step
            );
        }
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_ends() {
        let all: Vec<u32> = (0..1001).collect();
        let few: Vec<u32> = thinned(&all, 400).copied().collect();
        assert!(few.len() <= 401 && few[0] == 0 && few.last() == Some(&1000));
    }
}
