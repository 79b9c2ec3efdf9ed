//! Putting a bottleneck into a network.

use crate::Error;
use crate::guard::{behind, join_layer};
use cleave_nets::{Architecture, HostTensor, Layer, Network, Shape, Window};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The network with `channels` channels between layer `layer` and the next, ready to be retrained.
///
/// Behind the whole of numbered layer `layer`, its pooling included and a dropout not, come a 1x1 convolution down to
/// `channels` and one back up; for a vector, two linear layers. They are numbered layers of their own: a cut behind
/// `layer` + 1 sends the narrow tensor, and every later layer's number grows by 2.
///
/// The start weights project onto `channels` random directions at right angles to each other and back. The way down
/// keeps the mean square of a channel and the way back makes up for the directions that are lost, on average over all
/// directions, so that later layers meet activations of the scale that they know. With as many channels as the layer
/// has, the network computes what it did. Biases start at 0.
///
/// # Errors
/// [`Error::Place`] for a layer before the join or the last one; [`Error::Bottleneck`] for no channels or more than
/// there are.
pub fn insert_bottleneck(network: &Network, layer: usize, channels: usize, seed: u64) -> Result<Network, Error> {
    let architecture = network.architecture();
    let at = behind(architecture, join_layer(architecture), layer)?;
    let shape = architecture.shapes()?[at];
    if channels == 0 || channels > shape.channels {
        return Err(Error::Bottleneck { layer, channels, of: shape.channels });
    }
    let weights = start_weights(shape, channels, &mut ChaCha8Rng::seed_from_u64(seed));
    let bottleneck = Network::from_tensors(there_and_back(shape, channels)?, weights, network.device())?;
    let rest = network.slice(at..architecture.layers.len())?;
    Ok(network.slice(0..at)?.followed_by(&bottleneck)?.followed_by(&rest)?)
}

fn there_and_back(shape: Shape, channels: usize) -> Result<Architecture, Error> {
    let layer = |features| match shape.is_vector() {
        true => Layer::Linear { features },
        false => Layer::Conv2d { filters: features, window: Window::square(1, 1, 0), groups: 1, bias: true },
    };
    Ok(Architecture::new(shape, vec![layer(channels), layer(shape.channels)])?)
}

/// `[channels, of]` and its transpose with their biases, as [`there_and_back`] takes them.
fn start_weights(shape: Shape, channels: usize, rng: &mut ChaCha8Rng) -> BTreeMap<String, HostTensor> {
    let of = shape.channels;
    let rows = perpendicular_rows(channels, of, rng);
    let back = (of as f64 / channels as f64).sqrt(); // a projection keeps channels / of of the energy
    let down = rows.iter().flatten().map(|&value| value as f32).collect();
    let up = (0..of).flat_map(|column| rows.iter().map(move |row| (back * row[column]) as f32)).collect();
    let extents = |rows: usize, columns: usize| match shape.is_vector() {
        true => vec![rows, columns],
        false => vec![rows, columns, 1, 1],
    };
    let zeros = |count: usize| HostTensor { shape: vec![count], values: vec![0.0; count] };
    BTreeMap::from([
        ("0.weight".to_owned(), HostTensor { shape: extents(channels, of), values: down }),
        ("0.bias".to_owned(), zeros(channels)),
        ("1.weight".to_owned(), HostTensor { shape: extents(of, channels), values: up }),
        ("1.bias".to_owned(), zeros(of)),
    ])
}

/// `count` random vectors of `of` values, of length 1 and at right angles to each other (Gram-Schmidt, in the modified
/// order). Each is drawn again where too little of it is left to be exact.
fn perpendicular_rows(count: usize, of: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
    while rows.len() < count {
        let mut row: Vec<f64> = (0..of).map(|_| rng.random_range(-1.0..1.0)).collect();
        let drawn = length(&row);
        for other in &rows {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let left = length(&row);
        if left > 1e-6 * drawn {
            row.iter_mut().for_each(|value| *value /= left);
            rows.push(row);
        }
    }
    rows
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_nets::{AlexNet, SignalKind, SignalSpec, device};

    fn alexnet(size: usize) -> Network {
        let architecture = AlexNet { size, divisor: 16, ..AlexNet::default() }.architecture().unwrap();
        let architecture = architecture.with_join(3, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
        Network::random(architecture, 7, &device("flex").unwrap()).unwrap()
    }

    fn answer(network: &Network) -> Vec<f32> {
        let images = (0..network.input().values()).map(|at| (at as f32 * 0.1).sin()).collect();
        let plane = vec![0.5; network.signal_shape().unwrap().values()];
        network.infer(images, Some(plane), 1).unwrap()
    }

    #[test]
    fn a_bottleneck_makes_two_numbered_layers_and_changes_no_other_shape() {
        let network = alexnet(112);
        for (layer, channels, name) in [(3, 5, "conv4"), (5, 2, "conv6"), (6, 7, "fc7"), (7, 1, "fc8")] {
            let narrow = insert_bottleneck(&network, layer, channels, 1).unwrap();
            let (before, after) = (network.architecture(), narrow.architecture());
            let (old, new) = (before.shapes().unwrap(), after.shapes().unwrap());
            assert_eq!((before.numbered_layers().len(), after.numbered_layers().len()), (8, 10));
            let cut = after.numbered_layer(layer + 1).unwrap();
            assert_eq!(cut.name, name);
            let end = before.numbered_layer(layer).unwrap().range.end;
            assert_eq!(new[cut.range.end], Shape { channels, ..new[cut.range.start] });
            assert_eq!(new[end + 2..], old[end..], "layer {layer}");
        }
    }

    #[test]
    fn as_many_channels_as_before_change_no_answer() {
        let network = alexnet(64);
        for layer in [3, 5, 6] {
            let at = network.architecture().numbered_layer(layer).unwrap().range.end;
            let all = network.architecture().shapes().unwrap()[at].channels;
            let wide = insert_bottleneck(&network, layer, all, 1).unwrap();
            for (a, b) in answer(&network).iter().zip(answer(&wide)) {
                assert!((a - b).abs() < 1e-5, "layer {layer}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_way_down_and_the_way_back_keep_the_scale() {
        let shape = Shape::new(64, 1, 1);
        let weights = start_weights(shape, 8, &mut ChaCha8Rng::seed_from_u64(1));
        let network =
            Network::from_tensors(there_and_back(shape, 8).unwrap(), weights, &device("flex").unwrap()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let x: Vec<f32> = (0..200 * 64).map(|_| rng.random_range(-1.0..1.0)).collect();
        let square = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        let down = network.slice(0..1).unwrap().infer(x.clone(), None, 200).unwrap();
        let back = network.infer(x.clone(), None, 200).unwrap();
        assert!((square(&down) / square(&x) - 1.0).abs() < 0.1, "{}", square(&down) / square(&x));
        assert!((square(&back) / square(&x) - 1.0).abs() < 0.1, "{}", square(&back) / square(&x));
    }

    #[test]
    fn a_bottleneck_before_the_join_behind_the_last_layer_or_of_no_width_is_refused() {
        let network = alexnet(64);
        let refused = |layer, channels| insert_bottleneck(&network, layer, channels, 1).unwrap_err();
        for layer in [0, 2, 8, 9] {
            assert!(matches!(refused(layer, 2), Error::Place { first: 3, last: 7, .. }), "{layer}");
        }
        assert!(matches!(refused(3, 0), Error::Bottleneck { layer: 3, channels: 0, of: 24 }));
        assert!(refused(3, 25).to_string().contains("take 1 to 24"));
    }
}
