//! Images a second from the archive and from the cache, with two kinds of augmentation:
//! `CLEAVE_DATA=FOLDER cargo bench -p cleave-data`. Without real data, drawn shapes stand in.

use std::path::Path;
use std::time::Instant;

use cleave_data::{
    Augmentation, DataError, Dataset, LoadOptions, Loader, OpenOptions, Preparation, RandAugment, Shapes,
};

const IMAGES: usize = 4000;

fn main() -> Result<(), DataError> {
    let (what, dataset) = dataset()?;
    let mut lines = vec![format!("{} images of {what}", dataset.len())];
    let recipe = Augmentation {
        flip: 0.5,
        crop: 0.75,
        rand_augment: Some(RandAugment { operations: 1, magnitude: 8 }),
        jitter: 0.1,
        erase: 0.25,
        ..Augmentation::default()
    };
    for (name, side, augmentation) in [
        ("moved and mirrored", 112, Augmentation::shift_and_flip(8)),
        ("moved and mirrored", 32, Augmentation::shift_and_flip(4)),
        ("cropped, mirrored, changed, jittered and erased", 32, recipe),
    ] {
        lines.push(format!("{side} x {side} x 3, {name}"));
        for workers in [1, 2] {
            let options = LoadOptions { workers, augmentation: Some(augmentation), ..LoadOptions::training(64, 1) };
            let loader = Loader::new(dataset.clone(), Preparation::new(side, side, 3), options)?;
            let (first, second) = (rate(&loader, 0)?, rate(&loader, 1)?);
            lines.push(format!(
                "  {workers} worker(s): {first:.0} images/s decoded, {second:.0} images/s from the cache"
            ));
        }
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
