//! Writes contact sheets of the built-in generators, to be looked at:
//! `cargo run -p cleave-data --example sheet -- FOLDER`.

use cleave_data::{DataError, Glyphs, Pixels, Shapes};

fn main() -> Result<(), DataError> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let folder = std::path::Path::new(&folder);
    let digits: Vec<usize> = (0..10).collect();
    let glyphs = Glyphs::drawn(1, &digits, 16)?;
    let tiles = digits.iter().flat_map(|&digit| (0..16).map(move |index| (digit, index)));
    let tiles: Result<Vec<Pixels>, _> = tiles.map(|(d, i)| glyphs.pixels(d, i)).collect();
    sheet(&tiles?, 16)?.save_png(folder.join("glyphs.png"))?;
    let shapes = Shapes::new(8, 48, 1)?.dataset("train", 128);
    let tiles: Result<Vec<Pixels>, _> = (0..128).map(|index| shapes.decode(index)).collect();
    sheet(&tiles?, 16)?.save_png(folder.join("shapes.png"))
}

/// Puts tiles of one size side by side, `across` in a row, in double size.
fn sheet(tiles: &[Pixels], across: usize) -> Result<Pixels, DataError> {
    let (side, channels) = (tiles[0].width, tiles[0].channels);
    let (width, height) = (2 * side * across, 2 * side * tiles.len().div_ceil(across));
    let mut data = Vec::with_capacity(width * height * channels);
    for at in 0..width * height {
        let (x, y) = (at % width / 2, at / width / 2);
        let pixel = (y % side * side + x % side) * channels;
        let tile = &tiles[y / side * across + x / side];
        data.extend_from_slice(&tile.data[pixel..pixel + channels]);
    }
    Pixels::new(width, height, channels, data)
}
