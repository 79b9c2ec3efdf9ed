use rand::{Rng, RngExt};

/// Least and largest share of the image's area.
const SHARE: [f64; 2] = [0.02, 0.33];
/// Least and largest quotient of height and width.
const RATIO: [f64; 2] = [0.3, 3.3];
/// How often a rectangle is drawn that does not fit, until the image stays whole.
const ATTEMPTS: usize = 10;

/// A rectangle to be erased from a prepared image, in pixels.
///
/// Area and shape are drawn as Zhong et al. 2020 ("Random Erasing Data Augmentation") have them;
/// the bounds are those of torchvision's `RandomErasing`, which draws the logarithm of the ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Hole {
    /// A rectangle smaller than the image in both directions; `None` where no draw gives one.
    pub(crate) fn draw(height: usize, width: usize, rng: &mut impl Rng) -> Option<Self> {
        let [tall, wide] = (0..ATTEMPTS).map(|_| sides(height, width, rng)).find(|&[h, w]| h < height && w < width)?;
        let (top, left) = (rng.random_range(0..=height - tall), rng.random_range(0..=width - wide));
        Some(Self { left, top, width: wide, height: tall })
    }

    /// Sets the values within to 0, the mean of the normalised values: `planes` are `[channels,
    /// height, width]` of the size the rectangle was drawn for.
    pub(crate) fn clear(&self, planes: &mut [f32], height: usize, width: usize) {
        for plane in planes.chunks_exact_mut(height * width) {
            for row in plane.chunks_exact_mut(width).skip(self.top).take(self.height) {
                row[self.left..self.left + self.width].fill(0.0);
            }
        }
    }
}

/// Height and width of a rectangle that need not fit.
fn sides(height: usize, width: usize, rng: &mut impl Rng) -> [usize; 2] {
    let area = (height * width) as f64 * rng.random_range(SHARE[0]..=SHARE[1]);
    let ratio = rng.random_range(RATIO[0].ln()..=RATIO[1].ln()).exp();
    [area * ratio, area / ratio].map(|square| square.sqrt().round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Purpose, rng_for};

    fn holes(height: usize, width: usize) -> Vec<Option<Hole>> {
        (0..4000).map(|at| Hole::draw(height, width, &mut rng_for(Purpose::Augment, 1, 2, at))).collect()
    }

    #[test]
    fn exactly_a_rectangle_is_cleared_in_every_channel() {
        let hole = Hole { left: 1, top: 2, width: 3, height: 1 };
        let mut planes = vec![7.0; 2 * 4 * 5];
        hole.clear(&mut planes, 4, 5);
        let cleared: Vec<usize> = (0..40).filter(|&at| planes[at] == 0.0).collect();
        assert_eq!(cleared, [11, 12, 13, 31, 32, 33]);
    }

    #[test]
    fn area_and_shape_keep_their_bounds() {
        for hole in holes(32, 48).into_iter().map(Option::unwrap) {
            assert!(hole.left + hole.width <= 48 && hole.top + hole.height <= 32);
            let (tall, wide) = (hole.height as f64, hole.width as f64);
            // Each side is rounded by up to half a pixel.
            assert!((tall + 0.5) * (wide + 0.5) >= 0.02 * 1536.0 && (tall - 0.5) * (wide - 0.5) <= 0.33 * 1536.0);
            assert!((tall + 0.5) / (wide - 0.5) >= 0.3 && (tall - 0.5) / (wide + 0.5) <= 3.3);
        }
    }

    #[test]
    fn a_rectangle_is_as_often_tall_as_wide_and_reaches_every_corner() {
        let holes: Vec<Hole> = holes(32, 32).into_iter().flatten().collect();
        let share =
            |test: fn(&Hole) -> bool| holes.iter().filter(|hole| test(hole)).count() as f64 / holes.len() as f64;
        let (tall, wide) = (share(|hole| hole.height > hole.width), share(|hole| hole.height < hole.width));
        assert!((tall - wide).abs() < 0.06, "{tall} {wide}");
        for corner in [
            share(|hole| hole.left == 0 && hole.top == 0),
            share(|hole| hole.left + hole.width == 32 && hole.top + hole.height == 32),
        ] {
            assert!(corner > 0.0);
        }
    }

    #[test]
    fn a_single_pixel_stays() {
        for hole in holes(1, 1).into_iter().flatten() {
            assert_eq!((hole.width, hole.height), (0, 0));
        }
    }
}
