//! Images a second from the archive and from the cache, at 112 pixels with augmentation:
//! `CLEAVE_DATA=FOLDER cargo bench -p cleave-data`. Without real data, drawn shapes stand in.

use std::path::Path;
use std::time::Instant;

use cleave_data::{Augmentation, DataError, Dataset, LoadOptions, Loader, OpenOptions, Preparation, Shapes};

const IMAGES: usize = 4000;

fn main() -> Result<(), DataError> {
    let (what, dataset) = dataset()?;
    let mut lines = vec![format!("{} images of {what} at 112 x 112 x 3", dataset.len())];
    for workers in [1, 2] {
        let options = LoadOptions {
            workers,
            augmentation: Some(Augmentation::shift_and_flip(8)),
            ..LoadOptions::training(64, 1)
        };
        let preparation = Preparation::new(112, 112, 3);
        let loader = Loader::new(dataset.clone(), preparation, options)?;
        let (first, second) = (rate(&loader, 0)?, rate(&loader, 1)?);
        lines.push(format!("{workers} worker(s): {first:.0} images/s decoded, {second:.0} images/s from the cache"));
    }
    report(&lines.join("\n"));
    Ok(())
}

fn dataset() -> Result<(String, Dataset), DataError> {
    let Some(folder) = std::env::var_os("CLEAVE_DATA") else {
        let shapes = Shapes::new(8, 128, 1)?.dataset("train", IMAGES);
        return Ok(("drawn shapes".to_owned(), shapes));
    };
    let path = Path::new(&folder).join("dogs-vs-cats/dogs-vs-cats-128.tar");
    let options = OpenOptions { limit: Some(IMAGES / 2), ..OpenOptions::split("train") };
    Ok(("dogs-vs-cats".to_owned(), Dataset::open(path, &options)?))
}

fn rate(loader: &Loader, epoch: u64) -> Result<f64, DataError> {
    let start = Instant::now();
    let mut images = 0;
    for batch in loader.epoch(epoch)? {
        images += batch?.len();
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}

// The only place of this crate that prints: a bench is read by a person.
#[allow(clippy::print_stdout)]
fn report(text: &str) {
    println!("{text}");
}
