use crate::Pixels;

/// Bits behind the point of a coordinate.
const FRACTION: u32 = 16;

/// Slants the rows: the row whose middle lies `y` below the upper border moves `slope · y` to the left.
pub(crate) fn shear_x(image: &mut Pixels, slope: f64) {
    affine(image, [1.0, slope, 0.0], [0.0, 1.0, 0.0]);
}

/// Slants the columns: the column whose middle lies `x` from the left border moves `slope · x` up.
pub(crate) fn shear_y(image: &mut Pixels, slope: f64) {
    affine(image, [1.0, 0.0, 0.0], [slope, 1.0, 0.0]);
}

/// Moves by whole pixels to the right and down.
pub(crate) fn translate(image: &mut Pixels, right: i64, down: i64) {
    affine(image, [1.0, 0.0, -right as f64], [0.0, 1.0, -down as f64]);
}

/// Turns about the middle, in degrees, counter-clockwise.
pub(crate) fn rotate(image: &mut Pixels, degrees: f64) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x, y) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    affine(image, [cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]);
}

/// Each pixel takes the value at `x_from · (x, y, 1)` and `y_from · (x, y, 1)`, where x and y are
/// the place of its middle in pixels from the upper left corner; outside the image that is 0.
///
/// The nearest pixel is taken. Coordinates have 16 bits behind the point, as in Pillow: adding
/// whole numbers is fast, and a sine that is off in its last digit changes no pixel.
fn affine(image: &mut Pixels, x_from: [f64; 3], y_from: [f64; 3]) {
    let (width, height, depth) = (image.width, image.height, image.channels);
    let ([x_right, x_down, mut x_start], [y_right, y_down, mut y_start]) = (steps(x_from), steps(y_from));
    let mut data = vec![0; image.data.len()];
    for row in data.chunks_exact_mut(width * depth) {
        let (mut x, mut y) = (x_start, y_start);
        for pixel in row.chunks_exact_mut(depth) {
            if let (Some(x), Some(y)) = (whole(x, width), whole(y, height)) {
                let from = (y * width + x) * depth;
                pixel.copy_from_slice(&image.data[from..from + depth]);
            }
            (x, y) = (x + x_right, y + y_right);
        }
        (x_start, y_start) = (x_start + x_down, y_start + y_down);
    }
    image.data = data;
}

/// What a coordinate gains to the right and downwards, and where it starts: in the middle of the
/// first pixel.
fn steps([right, down, start]: [f64; 3]) -> [i64; 3] {
    let fixed = |value: f64| (value * f64::from(1 << FRACTION) + 0.5).floor() as i64;
    [fixed(right), fixed(down), fixed(start + right * 0.5 + down * 0.5)]
}

/// The pixel in which a coordinate lies, if it is one of `count`.
fn whole(coordinate: i64, count: usize) -> Option<usize> {
    usize::try_from(coordinate >> FRACTION).ok().filter(|&at| at < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 by 4 pixels, numbered from 1 so that none is the 0 from outside.
    fn numbered() -> Pixels {
        Pixels::new(4, 4, 1, (1..=16).collect()).unwrap()
    }

    fn changed(image: &Pixels, change: impl FnOnce(&mut Pixels)) -> Vec<u8> {
        let mut image = image.clone();
        change(&mut image);
        image.data
    }

    #[test]
    fn a_shear_moves_each_row_further() {
        // At a slope of 1 the rows move by 0.5, 1.5, 2.5 and 3.5 pixels, of which a half counts whole.
        let left = [2, 3, 4, 0, 7, 8, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(changed(&numbered(), |image| shear_x(image, 1.0)), left);
        let right = [1, 2, 3, 4, 0, 5, 6, 7, 0, 0, 9, 10, 0, 0, 0, 13];
        assert_eq!(changed(&numbered(), |image| shear_x(image, -1.0)), right);
    }

    #[test]
    fn a_small_shear_moves_the_far_rows_alone() {
        // At a slope of 0.2 the rows move by 0.1, 0.3, 0.5 and 0.7 pixels.
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 0, 14, 15, 16, 0];
        assert_eq!(changed(&numbered(), |image| shear_x(image, 0.2)), expected);
    }

    #[test]
    fn a_shear_of_columns_is_that_of_rows_turned_over() {
        let turned = |data: Vec<u8>| (0..16).map(|at| data[at % 4 * 4 + at / 4]).collect::<Vec<_>>();
        let over = Pixels::new(4, 4, 1, turned(numbered().data)).unwrap();
        for slope in [1.0, -1.0, 0.2, -0.3] {
            let rows = changed(&over, |image| shear_x(image, slope));
            assert_eq!(changed(&numbered(), |image| shear_y(image, slope)), turned(rows));
        }
    }

    #[test]
    fn a_translation_leaves_black_behind() {
        let right = [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15];
        assert_eq!(changed(&numbered(), |image| translate(image, 1, 0)), right);
        let up = [9, 10, 11, 12, 13, 14, 15, 16, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(changed(&numbered(), |image| translate(image, 0, -2)), up);
        assert_eq!(changed(&numbered(), |image| translate(image, 4, 0)), [0; 16]);
    }

    #[test]
    fn a_quarter_turn_brings_the_right_side_up() {
        let turned = [4, 8, 12, 16, 3, 7, 11, 15, 2, 6, 10, 14, 1, 5, 9, 13];
        assert_eq!(changed(&numbered(), |image| rotate(image, 90.0)), turned);
        let half: Vec<u8> = (1..=16).rev().collect();
        assert_eq!(changed(&numbered(), |image| rotate(image, 180.0)), half);
    }

    #[test]
    fn nothing_moves_by_nothing() {
        let image = Pixels::new(5, 3, 3, (1..=45).collect()).unwrap();
        for change in [shear_x, shear_y, rotate] {
            assert_eq!(changed(&image, |image| change(image, 0.0)), image.data);
        }
        assert_eq!(changed(&image, |image| translate(image, 0, 0)), image.data);
    }

    #[test]
    fn channels_move_together() {
        let image = Pixels::new(2, 1, 3, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(changed(&image, |image| translate(image, -1, 0)), [4, 5, 6, 0, 0, 0]);
    }
}
