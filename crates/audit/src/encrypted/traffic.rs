//! Bytes, names and times.

use super::record::{BatchSize, Timing, Traffic};
use super::{Field, Wire};
use crate::Error;
use crate::observer::{Observer, step};
use cleave_secrets::KeyId;
use std::time::Instant;

/// Sends batches of several sizes, black and real, and has the real ones evaluated by one network.
pub(super) fn sizes(field: &Field, observer: &mut dyn Observer) -> Result<Traffic, Error> {
    let (wire, ensemble) = (Wire::new(field)?, field.member(0)?);
    let mut names: Vec<KeyId> = Vec::new();
    let mut batches = Vec::new();
    for images in sizes_of(field) {
        step(observer)?;
        let black = wire.send(&vec![0; images * field.pixels()], field.pixels())?;
        let (black, key) = (black.bytes, black.images.key());
        step(observer)?;
        let real = wire.send(&field.own.values(0..images), field.pixels())?;
        let scores = ensemble.evaluate(&wire.keys, &real.images)?.to_bytes(&wire.keys)?.len();
        names.extend([key, real.images.key()]);
        batches.push(BatchSize { images, sent: [black, real.bytes], scores, told: real.images.images() });
    }
    let linked = names.windows(2).all(|pair| pair[0] == pair[1]);
    Ok(Traffic { keys: wire.bytes, batches, linked })
}

/// Sizes asked for, as far as a batch holds them.
fn sizes_of(field: &Field) -> Vec<usize> {
    let mut sizes: Vec<_> = field.settings.batches.iter().map(|&images| images.min(field.params.degree())).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Times evaluations by one network in turn, each of a fresh batch; in every round another kind comes first.
pub(super) fn times(field: &Field, observer: &mut dyn Observer) -> Result<Vec<Timing>, Error> {
    let (wire, ensemble) = (Wire::new(field)?, field.member(0)?);
    let sizes = sizes_of(field);
    let mut ends: Vec<usize> = sizes.first().into_iter().chain(sizes.last()).copied().collect();
    ends.dedup();
    let kinds = ends.into_iter().flat_map(|images| [true, false].map(|black| (black, images)));
    let mut found: Vec<Timing> = kinds.map(|(black, images)| Timing { black, images, seconds: Vec::new() }).collect();
    let count = found.len();
    // What the first run does besides, such as asking for memory, is nobody's time.
    ensemble.evaluate(&wire.keys, &wire.send(&vec![0; field.pixels()], field.pixels())?.images)?;
    for round in 0..field.settings.rounds {
        for at in 0..count {
            step(observer)?;
            let timing = &mut found[(round + at) % count];
            let values = match timing.black {
                true => vec![0; timing.images * field.pixels()],
                false => field.own.values(0..timing.images),
            };
            let sent = wire.send(&values, field.pixels())?;
            let began = Instant::now();
            ensemble.evaluate(&wire.keys, &sent.images)?;
            timing.seconds.push(began.elapsed().as_secs_f64());
        }
    }
    Ok(found)
}
