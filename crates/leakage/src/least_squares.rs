//! The input that explains outputs best: least squares with a map that is known only through its products.
//!
//! The method is CGLS, conjugate gradients on the normal equations without forming them (Hestenes and Stiefel 1952;
//! Björck, "Numerical methods for least squares problems", 1996, algorithm 7.4.1; in exact arithmetic the iterates of
//! LSQR, Paige and Saunders 1982). Stopped early it is itself a regularisation: directions that hardly show in the
//! outputs are the last to be fitted.
//!
//! One thing differs. The textbook's step length takes for granted that the gradient times the direction is the
//! gradient's squared length. With products in `f32` that fails once the gradient is down to rounding, and steps of that
//! length then diverge. Here the step is the exact minimum along the direction, and a direction that leads upwards is
//! dropped for the gradient, so that iterations past what rounding allows change nothing.

use crate::LeakageError;
use crate::map::{LinearMap, Products, Progress, report, within};
use crate::vector::{add, dot, norm_squared, rounded, widened};
use serde::{Deserialize, Serialize};

/// Any number of right-hand sides with the same map, solved together.
#[derive(Debug, Clone, Copy)]
pub struct Equations<'a> {
    right: &'a [f32],
    start: Option<&'a [f32]>,
    used: Option<&'a [bool]>,
}

impl<'a> Equations<'a> {
    /// Right-hand sides `[systems, outputs]`, one after the other.
    #[must_use]
    pub fn new(right: &'a [f32]) -> Self {
        Self { right, start: None, used: None }
    }

    /// Where to start, `[systems, inputs]`, instead of zero. Of several solutions the one nearest to the start is
    /// found, so a guess such as the mean image decides what the equations leave open.
    #[must_use]
    pub fn with_start(self, start: &'a [f32]) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Which outputs are equations, `[systems, outputs]`; the others are left out. Behind a ReLU only the positive
    /// values are: a zero says that the linear part was not positive, and no more.
    #[must_use]
    pub fn with_used(self, used: &'a [bool]) -> Self {
        Self { used: Some(used), ..self }
    }
}

/// When to stop, and what to hold against large solutions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SolveSettings {
    /// At most this many iterations, each one product with `J` and one with `Jᵀ`.
    pub iterations: usize,
    /// A system is done when the gradient `Jᵀ (b − J x) − λ² (x − start)` has fallen to this share of what it is for
    /// the input zero, or at the start if it is longer there, or else to this share of `‖J‖ ‖b − J x‖` (Paige and
    /// Saunders' second rule): then what is left of `b` hardly depends on any input. In `f32` little less than
    /// 1e-7 can be reached.
    pub tolerance: f64,
    /// `λ` of Tikhonov: `λ² ‖x − start‖²` is added to what is minimised. In units of a singular value; those below
    /// it are damped.
    pub damping: f64,
    /// At most this many vectors in one call of the map.
    pub batch: usize,
}

impl Default for SolveSettings {
    /// Two hundred iterations without damping, to a tolerance that `f32` products reach.
    fn default() -> Self {
        Self { iterations: 200, tolerance: 1e-6, damping: 0.0, batch: 32 }
    }
}

/// What came out for one right-hand side.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Solution {
    /// The solution, `[inputs]`.
    pub x: Vec<f32>,
    /// Iterations taken.
    pub iterations: usize,
    /// Whether the tolerance was reached before the iterations ran out.
    pub converged: bool,
    /// `‖J x − b‖ / ‖b‖` over the rows used, computed afresh from `x`; not divided where `b` is zero.
    pub residual: f64,
    /// `‖Jᵀ (b − J x) − λ² (x − start)‖` over the rows used, computed afresh from `x`, as a share of what it is for the
    /// input zero, or at the start if it is longer there: 0 at the best solution.
    pub gradient: f64,
}

/// Minimises `‖J x − b‖² + λ² ‖x − start‖²` for every right-hand side, all in one batch, each with its own scalars.
/// Returns one [`Solution`] a system, in order.
///
/// Vectors that are iterated on are `f64`, products `f32`; the solutions are as accurate as `f32` allows, about 1e-7
/// times the condition number. `progress` is told iterations done.
///
/// ```
/// use cleave_leakage::{Equations, SolveSettings, least_squares};
/// use nalgebra::DMatrix;
///
/// let layer = DMatrix::from_row_slice(3, 2, &[1.0, 0.0, 0.0, 2.0, -1.0, -1.0]);
/// // Behind a ReLU the image [3, 1] gives [3, 2, 0], and the zero is no equation.
/// let sent = [3.0, 2.0, 0.0];
/// let equations = Equations::new(&sent).with_used(&[true, true, false]);
/// let found = least_squares(&layer, &equations, &SolveSettings::default(), &mut |_, _| true)?;
/// assert!((found[0].x[0] - 3.0).abs() < 1e-5 && (found[0].x[1] - 1.0).abs() < 1e-5);
/// # Ok::<(), cleave_leakage::LeakageError>(())
/// ```
///
/// # Errors
/// [`LeakageError`] as the map's own error: an empty map, a setting out of range, equations of a wrong length or not
/// finite, products of a wrong length or not finite, or [`LeakageError::Stopped`]. And whatever the map's products
/// fail with.
pub fn least_squares<M: LinearMap + ?Sized>(
    map: &M,
    equations: &Equations<'_>,
    settings: &SolveSettings,
    progress: &mut Progress<'_>,
) -> Result<Vec<Solution>, M::Error> {
    settings.validate()?;
    let products = Products::new(map, settings.batch)?;
    equations.validate([map.inputs(), map.outputs()])?;
    let mut systems = begin(&products, equations, settings)?;
    for iteration in 0..settings.iterations {
        let mut open: Vec<_> = systems.iter_mut().filter(|system| !system.done()).collect();
        if open.is_empty() {
            break;
        }
        iterate(&products, &mut open, settings.damping)?;
        report(progress, iteration + 1, settings.iterations)?;
    }
    finish(&products, systems, settings.damping)
}

impl SolveSettings {
    fn validate(&self) -> Result<(), LeakageError> {
        within("iterations", self.iterations as f64, 1.0..=1e9)?;
        within("tolerance", self.tolerance, 0.0..=1.0)?;
        within("damping", self.damping, 0.0..=1e30)
    }
}

impl<'a> Equations<'a> {
    fn validate(&self, [inputs, outputs]: [usize; 2]) -> Result<(), LeakageError> {
        let systems = self.right.len().div_ceil(outputs).max(1);
        let start = self.start.unwrap_or(&[]);
        length("right-hand sides", self.right.len(), systems * outputs)?;
        length("starts", start.len(), if self.start.is_some() { systems * inputs } else { 0 })?;
        length("rows used", self.used.map_or(systems * outputs, <[bool]>::len), systems * outputs)?;
        finite("right-hand sides", self.right)?;
        finite("starts", start)
    }

    fn systems(&self, [inputs, outputs]: [usize; 2], tolerance: f64) -> Vec<System<'a>> {
        let system = |(index, right): (usize, &[f32])| {
            let part = |length: usize| index * length..(index + 1) * length;
            let used = self.used.map(|used| &used[part(outputs)]);
            let right = masked(widened(right), used);
            System {
                residual: right.clone(),
                right,
                used,
                start: self.start.map_or_else(|| vec![0.0; inputs], |start| widened(&start[part(inputs)])),
                moved: vec![0.0; inputs],
                direction: vec![0.0; inputs],
                gradient: 0.0,
                slope: 0.0,
                reference: 0.0,
                stretch: 0.0,
                tolerance,
                iterations: 0,
                stuck: false,
            }
        };
        self.right.chunks_exact(outputs).enumerate().map(system).collect()
    }
}

fn length(what: &'static str, got: usize, expected: usize) -> Result<(), LeakageError> {
    if got == expected { Ok(()) } else { Err(LeakageError::ArgumentLength { what, expected, got }) }
}

fn finite(what: &'static str, values: &[f32]) -> Result<(), LeakageError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(LeakageError::ArgumentNotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// One right-hand side and how far it has come.
struct System<'a> {
    /// `b`, zero in the rows that are not used.
    right: Vec<f64>,
    used: Option<&'a [bool]>,
    start: Vec<f64>,
    /// `x − start`.
    moved: Vec<f64>,
    /// `b − J x`.
    residual: Vec<f64>,
    /// Where to go next.
    direction: Vec<f64>,
    /// Squared length of the gradient, `Jᵀ (b − J x) − λ² (x − start)`.
    gradient: f64,
    /// The gradient times the direction. In exact arithmetic the same number.
    slope: f64,
    /// The gradient's length at zero, or at the start if that is larger.
    reference: f64,
    /// The largest factor by which the map has stretched a direction.
    stretch: f64,
    tolerance: f64,
    iterations: usize,
    /// Whether the direction changes nothing.
    stuck: bool,
}

fn begin<'a, M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    equations: &Equations<'a>,
    settings: &SolveSettings,
) -> Result<Vec<System<'a>>, M::Error> {
    let mut systems = equations.systems([products.near(), products.far()], settings.tolerance);
    let at_zero = gradients(products, systems.iter(), 0.0)?;
    let at_start = if equations.start.is_some() {
        renew(products, &mut systems)?;
        gradients(products, systems.iter(), 0.0)?
    } else {
        at_zero.clone()
    };
    for ((system, zero), start) in systems.iter_mut().zip(at_zero).zip(at_start) {
        system.reference = norm_squared(&zero).max(norm_squared(&start)).sqrt();
        system.turn(start);
    }
    Ok(systems)
}

/// One step of every open system.
fn iterate<M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    open: &mut [&mut System<'_>],
    damping: f64,
) -> Result<(), M::Error> {
    let directions: Vec<f32> = open.iter().flat_map(|system| rounded(&system.direction)).collect();
    let images = products.there(&directions)?;
    for (system, image) in open.iter_mut().zip(images.chunks_exact(products.far())) {
        system.step(widened(image), damping);
    }
    let gradients = gradients(products, open.iter().map(|system| &**system), damping)?;
    open.iter_mut().zip(gradients).for_each(|(system, gradient)| system.turn(gradient));
    Ok(())
}

/// What is left, from the solutions as they are returned and not from the recurrence.
fn finish<M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    mut systems: Vec<System<'_>>,
    damping: f64,
) -> Result<Vec<Solution>, M::Error> {
    renew(products, &mut systems)?;
    let gradients = gradients(products, systems.iter(), damping)?;
    Ok(systems.into_iter().zip(gradients).map(|(system, gradient)| system.solution(&gradient)).collect())
}

/// `b − J x` for every system, from `x` alone.
fn renew<M: LinearMap + ?Sized>(products: &Products<'_, M>, systems: &mut [System<'_>]) -> Result<(), M::Error> {
    let points: Vec<f32> = systems.iter().flat_map(System::point).collect();
    let images = products.there(&points)?;
    for (system, image) in systems.iter_mut().zip(images.chunks_exact(products.far())) {
        system.residual.clone_from(&system.right);
        add(&mut system.residual, -1.0, &masked(widened(image), system.used));
    }
    Ok(())
}

/// `Jᵀ (b − J x) − λ² (x − start)` for every system.
fn gradients<'s, 'a: 's, M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    systems: impl Iterator<Item = &'s System<'a>> + Clone,
    damping: f64,
) -> Result<Vec<Vec<f64>>, M::Error> {
    let residuals: Vec<f32> = systems.clone().flat_map(|system| rounded(&system.residual)).collect();
    let images = products.back(&residuals)?;
    let damped = systems.zip(images.chunks_exact(products.near())).map(|(system, image)| {
        let mut gradient = widened(image);
        add(&mut gradient, -damping * damping, &system.moved);
        gradient
    });
    Ok(damped.collect())
}

/// Outputs, zero in the rows that are not used.
fn masked(mut outputs: Vec<f64>, used: Option<&[bool]>) -> Vec<f64> {
    for (value, _) in outputs.iter_mut().zip(used.unwrap_or(&[])).filter(|(_, used)| !**used) {
        *value = 0.0;
    }
    outputs
}

impl System<'_> {
    fn done(&self) -> bool {
        self.stuck || self.converged()
    }

    fn converged(&self) -> bool {
        let noticeable = self.stretch * norm_squared(&self.residual).sqrt();
        self.gradient.sqrt() <= self.tolerance * self.reference.max(noticeable)
    }

    /// As far along the direction as pays; `image` is what the map makes of it.
    fn step(&mut self, image: Vec<f64>, damping: f64) {
        let image = masked(image, self.used);
        let [stretched, length] = [&image, &self.direction].map(|vector| norm_squared(vector));
        let curvature = stretched + damping * damping * length;
        self.stuck = curvature == 0.0;
        let pace = if self.stuck { 0.0 } else { self.slope / curvature };
        add(&mut self.moved, pace, &self.direction);
        add(&mut self.residual, -pace, &image);
        self.stretch = self.stretch.max((stretched / length).sqrt());
        self.iterations += 1;
    }

    /// A new direction, conjugate to those before unless rounding has made that one lead upwards.
    fn turn(&mut self, gradient: Vec<f64>) {
        let squared = norm_squared(&gradient);
        let keep = if self.gradient > 0.0 { squared / self.gradient } else { 0.0 };
        let slope = squared + keep * dot(&self.direction, &gradient);
        let keep = if slope > 0.0 { keep } else { 0.0 };
        let earlier = std::mem::replace(&mut self.direction, gradient);
        add(&mut self.direction, keep, &earlier);
        self.slope = if slope > 0.0 { slope } else { squared };
        self.gradient = squared;
    }

    /// `x`, rounded.
    fn point(&self) -> impl Iterator<Item = f32> {
        self.start.iter().zip(&self.moved).map(|(start, moved)| (start + moved) as f32)
    }

    fn solution(self, gradient: &[f64]) -> Solution {
        let norm = |vector: &[f64]| norm_squared(vector).sqrt();
        Solution {
            x: self.point().collect(),
            iterations: self.iterations,
            converged: self.converged(),
            residual: relative(norm(&self.residual), norm(&self.right)),
            gradient: relative(norm(gradient), self.reference),
        }
    }
}

/// A share, or the number itself where there is nothing to compare it with.
fn relative(number: f64, of: f64) -> f64 {
    if of > 0.0 { number / of } else { number }
}
