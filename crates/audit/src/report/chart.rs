//! Charts as SVG whose text the browser lays out and whose colours the page's style sheet decides.
//!
//! The drawing library writes fixed colours. [`Ink`] lists all that are used; the style sheet has a rule for each, by
//! attribute, so that a chart follows the reader's light or dark setting.

use super::axis::Axis;
use super::html::{clean, escape};
use crate::Error;
use crate::{Estimate, Share};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<Axis, Axis>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Width of a chart in pixels, before the page scales it.
const WIDTH: i32 = 360;
/// Its height, where the names below it need one line.
const HEIGHT: i32 = 232;
const TOP: i32 = 26;
const RIGHT: i32 = 20;
/// Height below the axis: marks and title.
const BOTTOM: i32 = 38;
/// Size of text, in pixels.
const TEXT: f64 = 11.0;
/// Width of a character of text.
const CHARACTER: i32 = 6;
/// The longest name beside an axis, in characters.
const LONGEST: usize = 14;
/// Width of a sample in a legend, and its height.
const SAMPLE: (i32, i32) = (30, 14);

/// Colours by role; the style sheet knows each of them by its value here, which is that of the light page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Faint,
    Grid,
    Blue,
    Orange,
    Green,
    Purple,
    Red,
    Brown,
}

impl Ink {
    fn colour(self) -> RGBColor {
        let [r, g, b] = match self {
            Self::Text => [0x1c, 0x20, 0x24],
            Self::Faint => [0x5b, 0x64, 0x6c],
            Self::Grid => [0xe1, 0xe3, 0xdf],
            Self::Blue => [0x1d, 0x63, 0xa5],
            Self::Orange => [0xbb, 0x57, 0x12],
            Self::Green => [0x12, 0x7a, 0x5b],
            Self::Purple => [0x7d, 0x45, 0x9b],
            Self::Red => [0xb0, 0x3a, 0x48],
            Self::Brown => [0x7a, 0x66, 0x1c],
        };
        RGBColor(r, g, b)
    }
}

/// Shapes of points, so that series differ without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Disc,
    Square,
    Triangle,
    Diamond,
    Cross,
    Ring,
    /// No points, only a dashed line: a level to compare with.
    Level,
    /// No points, only a broad pale line: the best of several series.
    Best,
    /// No points, only a thin line.
    Line,
}

/// How a series looks.
pub(super) type Look = (Ink, Marker);

/// A value with the ends of its interval.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub(super) middle: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Ends that are not finite are none.
    fn new(middle: f64, low: f64, high: f64) -> Self {
        let end = |end: f64| if end.is_finite() { end } else { middle };
        Self { middle, low: end(low), high: end(high) }
    }
}

impl From<f64> for Spread {
    fn from(value: f64) -> Self {
        Self::new(value, value, value)
    }
}

impl From<Estimate> for Spread {
    fn from(value: Estimate) -> Self {
        Self::new(value.mean, value.low, value.high)
    }
}

impl From<Share> for Spread {
    fn from(value: Share) -> Self {
        let middle = if value.of == 0 { f64::NAN } else { value.share };
        Self::new(middle, value.low, value.high)
    }
}

/// A point; those that are not finite are left out.
pub(super) struct Point {
    pub(super) x: Spread,
    pub(super) y: Spread,
    /// A letter beside it, or nothing.
    pub(super) tag: String,
}

/// Points that belong together.
pub(super) struct Series {
    /// Stands in the legend; empty for one that needs no mention there.
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) joined: bool,
    pub(super) points: Vec<Point>,
}

/// A chart with its legend.
pub(super) struct Chart {
    /// Clean text; stands above the chart.
    pub(super) title: String,
    /// What it says in words, for those who do not see it.
    pub(super) words: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    /// Levels across the chart, at a value of the x axis.
    pub(super) upright: Vec<(String, f64)>,
}

impl Chart {
    /// The chart as a `<figure>`.
    pub(super) fn figure(&self) -> Result<String, Error> {
        self.markup().map_err(|source| Error::Drawing { chart: self.title.clone(), source: source.into() })
    }

    fn markup(&self) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
        let names = Names::new(&self.x, WIDTH - self.left() - RIGHT);
        let drawing = svg((WIDTH, HEIGHT + names.extra), &self.words, |canvas| self.draw(canvas, &names))?;
        let (title, legend) = (escape(&self.title), self.legend()?);
        Ok(format!(
            "<figure>\n<figcaption>{title}</figcaption>\n{drawing}<ul class=\"legend\">{legend}</ul>\n</figure>\n"
        ))
    }

    /// Samples with names; nothing where there is one series, which is what the title says.
    fn legend(&self) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
        let series = self.series.iter().map(|series| (&series.name, series.look, series.joined));
        let levels = self.upright.iter().map(|(name, _)| (name, (Ink::Faint, Marker::Level), true));
        let named: Vec<_> = series.chain(levels).filter(|(name, ..)| !name.is_empty()).collect();
        if named.len() < 2 {
            return Ok(String::new());
        }
        let samples = named.into_iter().map(|(name, look, joined)| {
            let sample = svg(SAMPLE, "", |canvas| sample(canvas, look, joined))?;
            Ok(format!("<li>{sample}{}</li>", escape(name)))
        });
        samples.collect()
    }

    /// Width of what stands left of the plot.
    fn left(&self) -> i32 {
        let widest = self.y.ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(0);
        10 + CHARACTER * widest as i32
    }

    fn draw(&self, canvas: &Canvas, names: &Names) -> Drawn {
        // Pixels count downwards, values upwards.
        let down = Range { start: HEIGHT - BOTTOM, end: TOP };
        let actual = (self.left()..WIDTH - RIGHT, down);
        let plane = canvas.apply_coord_spec(Cartesian2d::<Axis, Axis>::new(self.x.clone(), self.y.clone(), actual));
        self.draw_y_axis(canvas, &plane)?;
        self.draw_x_axis(canvas, &plane, names)?;
        let aside = if self.x.categorical() { 0.07 } else { 0.0 };
        for (index, series) in self.series.iter().enumerate() {
            series.draw(canvas, &plane, aside * (index as f64 - 0.5 * self.series.len() as f64))?;
        }
        self.draw_tags(canvas, &plane)
    }

    fn draw_y_axis(&self, canvas: &Canvas, plane: &Plane) -> Drawn {
        let (left, right) = (self.left(), WIDTH - RIGHT);
        for (value, label) in &self.y.ticks {
            let (_, y) = plane.map_coordinate(&(0.0, *value));
            canvas.draw(&PathElement::new(vec![(left, y), (right, y)], Ink::Grid.colour()))?;
            write(canvas, label, (left - 6, y), (HPos::Right, VPos::Center), Ink::Faint)?;
        }
        write(canvas, &self.y.title, (0, 4), (HPos::Left, VPos::Top), Ink::Text)
    }

    fn draw_x_axis(&self, canvas: &Canvas, plane: &Plane, names: &Names) -> Drawn {
        let (left, right, foot) = (self.left(), WIDTH - RIGHT, HEIGHT - BOTTOM);
        canvas.draw(&PathElement::new(vec![(left, foot), (right, foot)], Ink::Faint.colour()))?;
        for (value, label) in self.x.ticks.iter().step_by(names.step) {
            let (x, _) = plane.map_coordinate(&(*value, 0.0));
            canvas.draw(&PathElement::new(vec![(x, foot), (x, foot + 3)], Ink::Faint.colour()))?;
            names.write(canvas, &shortened(label), (x, foot + 6))?;
        }
        for (_, value) in &self.upright {
            let (x, _) = plane.map_coordinate(&(*value, 0.0));
            canvas.draw(&PathElement::new(vec![(x, TOP), (x, foot)], line((Ink::Faint, Marker::Level))))?;
        }
        let below = HEIGHT + names.extra - 3;
        write(canvas, &self.x.title, (right, below), (HPos::Right, VPos::Bottom), Ink::Text)
    }

    /// Letters beside points, each at the first place around its point that is still free.
    fn draw_tags(&self, canvas: &Canvas, plane: &Plane) -> Drawn {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| !point.tag.is_empty());
        let mut taken: Vec<(i32, i32)> = points().map(|point| plane.map_coordinate(&point.place(0.0))).collect();
        for point in points() {
            let (x, y) = plane.map_coordinate(&point.place(0.0));
            let inside = |(x, y): &(i32, i32)| (8..WIDTH - 8).contains(x) && (TOP - 6..HEIGHT - BOTTOM).contains(y);
            let free = |(x, y): &(i32, i32)| taken.iter().all(|(a, b)| (a - x).abs() > 9 || (b - y).abs() > 9);
            let around = (1..8).flat_map(|ring| AROUND.map(|(dx, dy)| (x + 10 * ring * dx, y + 10 * ring * dy)));
            let place = around.filter(inside).find(free).unwrap_or((x + 11, y));
            taken.push(place);
            write(canvas, &point.tag, place, (HPos::Center, VPos::Center), Ink::Text)?;
        }
        Ok(())
    }
}

/// Directions in which a letter may stand from its point.
const AROUND: [(i32, i32); 8] = [(1, -1), (-1, -1), (1, 1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1)];

impl Point {
    fn place(&self, aside: f64) -> (f64, f64) {
        (self.x.middle + aside, self.y.middle)
    }

    fn finite(&self) -> bool {
        self.x.middle.is_finite() && self.y.middle.is_finite()
    }
}

impl Series {
    fn draw(&self, canvas: &Canvas, plane: &Plane, aside: f64) -> Drawn {
        let plain = matches!(self.look.1, Marker::Level | Marker::Best | Marker::Line);
        let aside = if plain { 0.0 } else { aside };
        let points: Vec<&Point> = self.points.iter().filter(|point| point.finite()).collect();
        if self.joined {
            let path: Vec<_> = points.iter().map(|point| point.place(aside)).collect();
            plane.draw(&PathElement::new(path, line(self.look)))?;
        }
        if plain {
            return Ok(());
        }
        for point in points {
            let (x, y) = point.place(aside);
            let ends = [[(x, point.y.low), (x, point.y.high)], [(point.x.low + aside, y), (point.x.high + aside, y)]];
            for end in ends.into_iter().filter(|end| end[0] != end[1]) {
                plane.draw(&PathElement::new(end.to_vec(), self.look.0.colour().mix(0.55)))?;
            }
            mark(canvas, plane.map_coordinate(&(x, y)), self.look)?;
        }
        Ok(())
    }
}

/// How the names below an axis are written: across, or upright where they would not fit, and only some of them where
/// even that is too narrow.
struct Names {
    upright: bool,
    /// Height that they need beyond a line.
    extra: i32,
    step: usize,
}

impl Names {
    fn new(axis: &Axis, width: i32) -> Self {
        let longest = axis.ticks.iter().map(|tick| tick.1.chars().count().min(LONGEST)).max().unwrap_or(0) as i32;
        let slot = width / (axis.ticks.len() as i32).max(1);
        let upright = axis.categorical() && longest * CHARACTER > slot;
        let extra = if upright { longest * CHARACTER - 2 * CHARACTER } else { 0 };
        let step = if upright { (13 / slot.max(1) + 1).max(1) as usize } else { 1 };
        Self { upright, extra, step }
    }

    fn write(&self, canvas: &Canvas, name: &str, place: (i32, i32)) -> Drawn {
        if self.upright {
            let style = text(Ink::Faint, (HPos::Right, VPos::Center)).transform(FontTransform::Rotate270);
            return canvas.draw(&Text::new(name, place, style));
        }
        write(canvas, name, place, (HPos::Center, VPos::Top), Ink::Faint)
    }
}

fn shortened(name: &str) -> String {
    let name = clean(name);
    if name.chars().count() <= LONGEST {
        return name;
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Draws on an SVG without address, fixed size or font. `words` empty: an ornament beside text.
fn svg(
    (width, height): (i32, i32),
    words: &str,
    draw: impl Fn(&Canvas) -> Drawn,
) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let mut drawing = String::new();
    let canvas = SVGBackend::with_string(&mut drawing, (width as u32, height as u32)).into_drawing_area();
    draw(&canvas)?;
    canvas.present()?;
    drop(canvas);
    let content = drawing.split_once('>').map_or("", |(_, content)| content);
    let role = match escape(words) {
        empty if empty.is_empty() => {
            format!("class=\"sample\" width=\"{width}\" height=\"{height}\" aria-hidden=\"true\"")
        }
        words => format!("class=\"chart\" role=\"img\" aria-label=\"{words}\""),
    };
    Ok(format!("<svg {role} viewBox=\"0 0 {width} {height}\">{}", content.trim_start()))
}

/// A legend's sample: what the series looks like.
fn sample(canvas: &Canvas, look: Look, joined: bool) -> Drawn {
    let middle = SAMPLE.1 / 2;
    if joined {
        canvas.draw(&PathElement::new(vec![(1, middle), (SAMPLE.0 - 1, middle)], line(look)))?;
    }
    mark(canvas, (SAMPLE.0 / 2, middle), look)
}

fn line((ink, marker): Look) -> ShapeStyle {
    let style = ShapeStyle::from(ink.colour());
    match marker {
        Marker::Best => ShapeStyle::from(ink.colour().mix(0.16)).stroke_width(9),
        Marker::Line => style,
        _ => style.stroke_width(2),
    }
}

fn mark(canvas: &Canvas, (x, y): (i32, i32), (ink, marker): Look) -> Drawn {
    let (colour, filled) = (ink.colour(), ink.colour().filled());
    let polygon = |corners: &[(i32, i32)]| {
        let corners: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        canvas.draw(&Polygon::new(corners, filled))
    };
    match marker {
        Marker::Disc => canvas.draw(&Circle::new((x, y), 4, filled)),
        Marker::Ring => canvas.draw(&Circle::new((x, y), 4, colour.stroke_width(2))),
        Marker::Cross => canvas.draw(&plotters::element::Cross::new((x, y), 4, colour.stroke_width(2))),
        Marker::Square => polygon(&[(-4, -4), (4, -4), (4, 4), (-4, 4)]),
        Marker::Triangle => polygon(&[(0, -5), (5, 4), (-5, 4)]),
        Marker::Diamond => polygon(&[(0, -6), (5, 0), (0, 6), (-5, 0)]),
        Marker::Level | Marker::Best | Marker::Line => Ok(()),
    }
}

fn write(canvas: &Canvas, words: &str, place: (i32, i32), anchor: (HPos, VPos), ink: Ink) -> Drawn {
    canvas.draw(&Text::new(words, place, text(ink, anchor)))
}

/// The library writes a size divided by 1.24.
fn text(ink: Ink, (across, down): (HPos, VPos)) -> TextStyle<'static> {
    let mut style = TextStyle::from(("sans-serif", 1.24 * TEXT).into_font()).pos(Pos::new(across, down));
    style.color = ink.colour().to_backend_color();
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    const INKS: [Ink; 9] =
        [Ink::Text, Ink::Faint, Ink::Grid, Ink::Blue, Ink::Orange, Ink::Green, Ink::Purple, Ink::Red, Ink::Brown];

    #[test]
    fn the_style_sheet_has_a_rule_for_each_ink() {
        let style = include_str!("style.css");
        for ink in INKS {
            let RGBColor(r, g, b) = ink.colour();
            for attribute in ["stroke", "fill"] {
                let rule = format!("[{attribute}=\"#{r:02X}{g:02X}{b:02X}\"]");
                assert!(style.contains(&rule), "{ink:?}: no rule for {rule}");
            }
        }
    }

    #[test]
    fn points_without_a_value_are_left_out() {
        let point = |y: f64| Point { x: 0.0.into(), y: y.into(), tag: String::new() };
        let points = vec![point(f64::NAN), point(0.5)];
        let series = Series { name: "s".to_owned(), look: (Ink::Blue, Marker::Disc), joined: true, points };
        let (x, y) = (Axis::names("cut", ["1".to_owned()].into_iter()), Axis::shares("share"));
        let (title, words) = ("t".to_owned(), "a <chart>".to_owned());
        let figure = Chart { title, words, x, y, series: vec![series], upright: vec![] }.figure().unwrap();
        let chart = figure.split("</svg>").next().unwrap();
        assert_eq!(chart.matches("<circle").count(), 1);
        assert!(figure.contains("aria-label=\"a &lt;chart&gt;\"") && !figure.contains("http"));
    }
}
