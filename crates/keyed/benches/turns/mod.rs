//! Times of several ways of doing something, measured in turns.

use std::time::Instant;

/// Measurements of each, and rounds before the first.
const ROUNDS: usize = 150;
const WARM_UP: usize = 3;

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The median of each way, which take turns, each round in another order.
pub(crate) fn medians<const N: usize>(mut ways: [Box<dyn FnMut() + '_>; N]) -> [f64; N] {
    let mut times = [(); N].map(|()| Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        for at in (0..N).map(|turn| (turn + round) % N) {
            let began = Instant::now();
            ways[at]();
            if round >= WARM_UP {
                times[at].push(began.elapsed().as_secs_f64());
            }
        }
    }
    times.map(median)
}
