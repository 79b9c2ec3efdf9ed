use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::draw::{Purpose, rng_for};
use crate::source::Source;
use crate::strokes::segment_distance;
use crate::{DataError, Dataset, Pixels};

/// The classes, in the order in which a set takes them.
const CLASSES: [&str; 8] = ["disc", "triangle", "cross", "ring", "square", "star", "bars", "crescent"];
const LEAST_SIDE: usize = 16;
const MOST_SIDE: usize = 512;
/// The least difference in brightness between a shape and its background, of 255.
const LEAST_CONTRAST: f32 = 70.0;

/// A generator of labelled images: one drawn shape each, on a cluttered background.
///
/// The class is the kind of shape alone. Place, size, turn, colours, whether the shape is darker
/// or brighter than its surroundings, the background's shading and texture, small strokes that
/// distract, and noise are all random, so that no single pixel tells anything about the class.
///
/// Images are drawn when they are asked for, and depend on the seed, the split and the index. On
/// another kind of machine a byte may differ by 1, where its sine is rounded otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    classes: usize,
    side: usize,
    seed: u64,
}

impl Shapes {
    /// A generator of RGB images of `side` by `side` pixels in 2 to 8 classes: disc, triangle,
    /// cross, ring, square, star, bars and crescent, the first `classes` of them.
    ///
    /// # Errors
    ///
    /// [`DataError::Shapes`] for another number of classes, or a side outside 16 to 512.
    pub fn new(classes: usize, side: usize, seed: u64) -> Result<Self, DataError> {
        let fits = (2..=CLASSES.len()).contains(&classes);
        if fits && (LEAST_SIDE..=MOST_SIDE).contains(&side) {
            return Ok(Self { classes, side, seed });
        }
        Err(DataError::Shapes {
            classes,
            size: side,
            most: CLASSES.len(),
            least_size: LEAST_SIDE,
            most_size: MOST_SIDE,
        })
    }

    /// A set of `len` images whose classes are balanced. Sets of different `split` names (such
    /// as `train` and `val`) have no image in common; a longer set begins with a shorter one.
    pub fn dataset(&self, split: &str, len: usize) -> Dataset {
        let labels: Vec<usize> = (0..len).map(|index| index % self.classes).collect();
        let classes = CLASSES[..self.classes].iter().map(|&class| class.into());
        let drawn = Drawn { shapes: *self, split: split.to_owned(), stream: hash(split), len };
        Dataset::of_source(Arc::new(drawn), &labels, classes.collect())
    }
}

/// FNV-1a of a split's name.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[derive(Debug)]
struct Drawn {
    shapes: Shapes,
    split: String,
    stream: u64,
    len: usize,
}

impl Source for Drawn {
    fn name(&self, at: usize) -> String {
        format!("{}/{at}", self.split)
    }

    fn pixels(&self, at: usize) -> Result<Pixels, DataError> {
        if at >= self.len {
            let len = self.len;
            return Err(DataError::Index { index: at, len });
        }
        let Shapes { classes, side, seed } = self.shapes;
        let mut rng = rng_for(Purpose::Shape, seed, self.stream, at as u64);
        let scene = Scene::new(at % classes, &mut rng);
        let mut data = Vec::with_capacity(side * side * 3);
        for at in 0..side * side {
            let point = [at % side, at / side].map(|v| (v as f32 + 0.5) / side as f32);
            let color = scene.color(point, side as f32);
            data.extend(color.map(|v| (v + scene.grain * noise(&mut rng)).round() as u8));
        }
        Pixels::new(side, side, 3, data)
    }
}

/// A sum of uniform numbers: close to a normal distribution, with a deviation of 1.
fn noise<R: Rng>(rng: &mut R) -> f32 {
    (0..3).map(|_| rng.random_range(-1.0_f32..1.0)).sum()
}

type Color = [f32; 3];

/// One image before it is put into pixels; its square runs from 0 to 1.
struct Scene {
    class: usize,
    centre: [f32; 2],
    size: f32,
    turn: [f32; 2],
    front: Paint,
    back: Paint,
    strokes: Vec<Stroke>,
    grain: f32,
}

struct Stroke {
    from: [f32; 2],
    to: [f32; 2],
    radius: f32,
    color: Color,
}

impl Scene {
    fn new<R: Rng>(class: usize, rng: &mut R) -> Self {
        let size = rng.random_range(0.22_f32..0.34);
        let margin = size + 0.04;
        let angle = rng.random_range(0.0..TAU);
        let (front, back) = colors(rng);
        Self {
            class,
            centre: [(); 2].map(|()| rng.random_range(margin..1.0 - margin)),
            size,
            turn: [angle.cos(), angle.sin()],
            front: Paint::new(front, 0.0, rng),
            back: Paint::new(back, 50.0, rng),
            strokes: (0..rng.random_range(2..6)).map(|_| Stroke::new(rng)).collect(),
            grain: rng.random_range(4.0_f32..14.0),
        }
    }

    fn color(&self, point: [f32; 2], side: f32) -> Color {
        let mut color = self.back.at(point);
        for stroke in &self.strokes {
            let distance = segment_distance(point, stroke.from, stroke.to);
            color = mix(color, stroke.color, (stroke.radius - distance) * side + 0.5);
        }
        let [x, y] = [point[0] - self.centre[0], point[1] - self.centre[1]];
        let [cos, sin] = self.turn;
        let turned = [cos * x + sin * y, cos * y - sin * x].map(|v| v / self.size);
        let inside = -distance(self.class, turned) * self.size * side + 0.5;
        mix(color, self.front.at(point), inside)
    }
}

impl Stroke {
    fn new<R: Rng>(rng: &mut R) -> Self {
        let from = [(); 2].map(|()| rng.random_range(0.0_f32..1.0));
        let angle = rng.random_range(0.0..TAU);
        let length = rng.random_range(0.05_f32..0.22);
        Self {
            from,
            to: [from[0] + length * angle.cos(), from[1] + length * angle.sin()],
            radius: rng.random_range(0.008_f32..0.022),
            color: [(); 3].map(|()| rng.random_range(0.0_f32..255.0)),
        }
    }
}

/// A color that changes across the image, under a pattern of waves.
struct Paint {
    color: Color,
    slope: [f32; 2],
    waves: [f32; 2],
    phase: f32,
    depth: f32,
}

impl Paint {
    fn new<R: Rng>(color: Color, steepest: f32, rng: &mut R) -> Self {
        let angle = rng.random_range(0.0..TAU);
        let steepness = rng.random_range(0.0..=steepest);
        let (direction, count) = (rng.random_range(0.0..PI), rng.random_range(2.0_f32..9.0));
        Self {
            color,
            slope: [angle.cos() * steepness, angle.sin() * steepness],
            waves: [direction.cos() * count * TAU, direction.sin() * count * TAU],
            phase: rng.random_range(0.0..TAU),
            depth: rng.random_range(0.0_f32..16.0),
        }
    }

    fn at(&self, [x, y]: [f32; 2]) -> Color {
        let shade = self.slope[0] * (x - 0.5) + self.slope[1] * (y - 0.5);
        let wave = self.waves[0] * x + self.waves[1] * y + self.phase;
        self.color.map(|v| v + shade + self.depth * wave.sin())
    }
}

/// Two colors that differ in brightness; which one is brighter is a matter of chance.
fn colors<R: Rng>(rng: &mut R) -> (Color, Color) {
    loop {
        let [a, b]: [Color; 2] = [(); 2].map(|()| [(); 3].map(|()| rng.random_range(20.0_f32..235.0)));
        let brightness = |c: Color| 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2];
        if (brightness(a) - brightness(b)).abs() >= LEAST_CONTRAST {
            return (a, b);
        }
    }
}

fn mix(from: Color, to: Color, share: f32) -> Color {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|c| from[c] + share * (to[c] - from[c]))
}

/// How far a point lies outside a shape of radius 1, negative inside. All shapes cover a similar
/// area, so that the share of bright pixels does not give the class away.
fn distance(class: usize, point: [f32; 2]) -> f32 {
    let [x, y] = point.map(f32::abs);
    let radius = x.hypot(y);
    match class {
        0 => radius - 0.74,
        1 => polygon(point, 3) - 0.58,
        2 => boxed(x, y, [0.98, 0.27]).min(boxed(x, y, [0.27, 0.98])),
        3 => (radius - 0.74).abs() - 0.19,
        4 => boxed(x, y, [0.66, 0.66]),
        5 => star(point),
        6 => boxed((x - 0.56).abs(), y, [0.24, 0.85]),
        _ => (radius - 0.92).max(0.66 - (point[0] - 0.45).hypot(y)),
    }
}

fn boxed(x: f32, y: f32, half: [f32; 2]) -> f32 {
    (x - half[0]).max(y - half[1])
}

/// The distance from the centre across the nearest of the sides.
fn polygon([x, y]: [f32; 2], sides: usize) -> f32 {
    let side = |k: usize| {
        let angle = TAU * k as f32 / sides as f32;
        x * angle.cos() + y * angle.sin()
    };
    (0..sides).map(side).fold(f32::MIN, f32::max)
}

/// Five points: between a tip at radius 1.1 and a notch at 0.46 the edge is straight.
fn star([x, y]: [f32; 2]) -> f32 {
    let (tip, notch, half) = (1.1_f32, 0.46_f32, PI / 5.0);
    let angle = (y.atan2(x).rem_euclid(2.0 * half) - half).abs();
    let (across, along) = (x.hypot(y) * angle.sin(), x.hypot(y) * angle.cos());
    let (tip_across, tip_along) = (tip * half.sin(), tip * half.cos());
    let edge = [tip_across, tip_along - notch];
    let length = edge[0].hypot(edge[1]);
    ((along - notch) * edge[0] - across * edge[1]) / length
}
