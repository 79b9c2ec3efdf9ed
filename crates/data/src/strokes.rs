//! Digits drawn with a round pen.

use std::f32::consts::{PI, TAU};

use rand::{Rng, RngExt};

type Point = [f32; 2];

/// Points a curve is drawn with: a glyph of 28 pixels shows no corners.
const CURVE_POINTS: usize = 20;

/// Draws a digit as `[side, side]` bytes, white on black.
pub(crate) fn draw_digit<R: Rng>(digit: usize, side: usize, rng: &mut R) -> Vec<u8> {
    let lines = skeleton(digit, rng);
    let hand = Hand::new(rng);
    let lines: Vec<Vec<Point>> =
        lines.into_iter().map(|line| line.into_iter().map(|point| hand.place(point)).collect()).collect();
    let pixel = |at: usize| {
        let point = [(at % side) as f32 + 0.5, (at / side) as f32 + 0.5];
        let point = point.map(|v| v / side as f32);
        let distance = lines.iter().map(|line| line_distance(point, line)).fold(f32::MAX, f32::min);
        let cover = (hand.radius - distance) * side as f32 + 0.5;
        (cover.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    (0..side * side).map(pixel).collect()
}

/// How one writer's hand distorts what it writes. The glyph's square runs from 0 to 1.
struct Hand {
    /// Column by column: where a step to the right and a step down lead.
    turn: [Point; 2],
    centre: Point,
    wobble: [Point; 2],
    /// Half the pen's width.
    radius: f32,
}

impl Hand {
    fn new<R: Rng>(rng: &mut R) -> Self {
        let angle = rng.random_range(-0.16_f32..0.16);
        let slant = rng.random_range(-0.12_f32..0.28);
        let (tall, wide) = (rng.random_range(0.54_f32..0.66), rng.random_range(0.78_f32..1.08));
        let (sin, cos) = angle.sin_cos();
        let right = [tall * wide * cos, tall * wide * sin];
        let down = [-tall * (sin + slant * cos), tall * (cos - slant * sin)];
        let mut around = |reach: f32| -> Point { [rng.random_range(-reach..reach), rng.random_range(-reach..reach)] };
        Self {
            turn: [right, down],
            centre: around(0.04).map(|v| v + 0.5),
            wobble: [around(0.022), around(PI)],
            radius: rng.random_range(0.030_f32..0.068),
        }
    }

    /// From the skeleton's square, 0 to 1, to the glyph's.
    fn place(&self, [x, y]: Point) -> Point {
        let [reach, phase] = self.wobble;
        let x = x - 0.5 + reach[0] * (TAU * y + phase[0]).sin();
        let y = y - 0.5 + reach[1] * (TAU * x + phase[1]).sin();
        let [right, down] = self.turn;
        [self.centre[0] + x * right[0] + y * down[0], self.centre[1] + x * right[1] + y * down[1]]
    }
}

/// The lines of a digit in a square from 0 to 1, y downwards. Random numbers move what differs
/// between writers.
fn skeleton<R: Rng>(digit: usize, rng: &mut R) -> Vec<Vec<Point>> {
    let mut near = |value: f32| value + rng.random_range(-0.04_f32..0.04);
    let half = PI / 2.0;
    match digit {
        0 => vec![arc([0.5, 0.5], [near(0.33), 0.5], 0.0, TAU)],
        1 => match near(0.0) > 0.0 {
            true => vec![vec![[0.5, 0.0], [0.5, 1.0]]],
            false => vec![vec![[near(0.25), near(0.24)], [0.53, 0.0], [0.53, 1.0]]],
        },
        2 => {
            let mut line = arc([0.5, 0.3], [near(0.34), 0.3], -PI, 0.28 * PI);
            line.extend([[near(0.14), 1.0], [near(0.88), near(0.98)]]);
            vec![line]
        }
        3 => {
            let mut line = arc([0.45, 0.26], [near(0.33), 0.26], -0.8 * PI, half);
            line.extend(arc([0.45, 0.75], [near(0.37), 0.25], -half, 0.8 * PI));
            vec![line]
        }
        4 => {
            let (top, bar) = (near(0.55), near(0.66));
            vec![vec![[top, 0.0], [near(0.1), bar], [0.92, bar]], vec![[0.7, near(0.36)], [0.68, 1.0]]]
        }
        5 => {
            let mut line = vec![[near(0.84), 0.0], [0.24, near(0.02)], [near(0.2), 0.45]];
            line.extend(arc([0.46, 0.68], [near(0.37), 0.32], -0.72 * PI, 0.8 * PI));
            vec![line]
        }
        6 => {
            let mut line = curve([near(0.72), 0.0], [0.2, 0.2], [near(0.17), 0.68]);
            line.extend(arc([0.5, 0.72], [near(0.33), 0.28], -PI, PI));
            vec![line]
        }
        7 => {
            let mut lines = vec![vec![[near(0.14), 0.02], [near(0.86), 0.02], [near(0.4), 1.0]]];
            if near(0.0) > 0.02 {
                lines.push(vec![[0.36, 0.52], [0.8, near(0.5)]]);
            }
            lines
        }
        8 => vec![arc([0.5, 0.24], [near(0.27), 0.24], 0.0, TAU), arc([0.5, 0.74], [near(0.33), 0.26], 0.0, TAU)],
        _ => {
            let mut line = arc([0.48, 0.28], [near(0.31), 0.28], 0.0, TAU);
            line.extend(curve([0.79, 0.28], [near(0.8), 0.7], [near(0.6), 1.0]));
            vec![line]
        }
    }
}

/// A part of an ellipse, angles clockwise from the right.
fn arc(centre: Point, radius: Point, from: f32, to: f32) -> Vec<Point> {
    let point = |step: usize| {
        let angle = from + (to - from) * step as f32 / CURVE_POINTS as f32;
        [centre[0] + radius[0] * angle.cos(), centre[1] + radius[1] * angle.sin()]
    };
    (0..=CURVE_POINTS).map(point).collect()
}

/// A curve from one point to another, pulled towards a third between them.
fn curve(from: Point, pull: Point, to: Point) -> Vec<Point> {
    let point = |step: usize| {
        let t = step as f32 / CURVE_POINTS as f32;
        let mix = |axis: usize| (1.0 - t).powi(2) * from[axis] + 2.0 * t * (1.0 - t) * pull[axis] + t * t * to[axis];
        [mix(0), mix(1)]
    };
    (0..=CURVE_POINTS).map(point).collect()
}

fn line_distance(point: Point, line: &[Point]) -> f32 {
    line.windows(2).map(|ends| segment_distance(point, ends[0], ends[1])).fold(f32::MAX, f32::min)
}

pub(crate) fn segment_distance(point: Point, from: Point, to: Point) -> f32 {
    let way = [to[0] - from[0], to[1] - from[1]];
    let off = [point[0] - from[0], point[1] - from[1]];
    let length = way[0] * way[0] + way[1] * way[1];
    let along = (off[0] * way[0] + off[1] * way[1]) / length.max(f32::MIN_POSITIVE);
    let along = along.clamp(0.0, 1.0);
    (off[0] - along * way[0]).hypot(off[1] - along * way[1])
}
