//! A local convolution is a convolution whose weights may differ from position to position.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use cleave_nets::{Architecture, HostTensor, Layer, Network, Shape, Window};
use proptest::prelude::*;
use std::collections::BTreeMap;

const FILTERS: usize = 5;

fn network(input: Shape, layer: Layer, weight: HostTensor, bias: &[f32]) -> Network {
    let bias = HostTensor { shape: vec![FILTERS], values: bias.to_vec() };
    let tensors = BTreeMap::from([("0.weight".to_owned(), weight), ("0.bias".to_owned(), bias)]);
    let architecture = Architecture::new(input, vec![layer]).unwrap();
    Network::from_tensors(architecture, tensors, &cleave_nets::device("flex").unwrap()).unwrap()
}

fn values(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64)
        .map(|at| ((at + 1).wrapping_mul(seed | 1).wrapping_mul(2_654_435_761) % 2001) as f32 / 1000.0 - 1.0)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// With the same weights everywhere it is a convolution; with weights of one position only it sees that patch alone.
    #[test]
    fn it_is_a_convolution_at_each_position(
        channels in 1..4usize, rows in 1..4usize, columns in 1..4usize, down in 1..4usize, across in 1..4usize,
        batch in 1..4usize, seed in any::<u64>(), pick in any::<prop::sample::Index>(),
    ) {
        let input = Shape::new(channels, rows * down, columns * across);
        let (each, positions) = (FILTERS * channels * rows * columns, down * across);
        let (kernel, bias) = (values(each, seed), values(FILTERS, seed ^ 7));
        let shape = [FILTERS, channels, rows, columns];
        let window = Window { size: [rows, columns], stride: [rows, columns], padding: [0, 0] };
        let conv = Layer::Conv2d { filters: FILTERS, window, groups: 1, bias: true };
        let local = Layer::LocalConv2d { filters: FILTERS, size: [rows, columns] };
        let conv = network(input, conv, HostTensor { shape: shape.to_vec(), values: kernel.clone() }, &bias);
        let with = |weights: Vec<f32>| {
            let shape = [&[positions], &shape[..]].concat();
            network(input, local.clone(), HostTensor { shape, values: weights }, &bias)
        };
        let images = values(batch * input.values(), seed ^ 3);
        let expected = conv.infer(images.clone(), None, batch).unwrap();
        let everywhere = with(kernel.repeat(positions)).infer(images.clone(), None, batch).unwrap();
        let picked = pick.index(positions);
        let mut alone = vec![0.0; each * positions];
        alone[picked * each..][..each].copy_from_slice(&kernel);
        let alone = with(alone).infer(images, None, batch).unwrap();
        for (index, (&wanted, (&all, &one))) in expected.iter().zip(everywhere.iter().zip(&alone)).enumerate() {
            prop_assert!((wanted - all).abs() < 1e-4, "{wanted} and {all}");
            let one_wanted = if index % positions == picked { wanted } else { bias[index / positions % FILTERS] };
            prop_assert!((one_wanted - one).abs() < 1e-4, "{one_wanted} and {one}");
        }
    }
}

#[test]
fn patches_that_do_not_come_out_even_are_refused() {
    let refused = |size| {
        let layer = Layer::LocalConv2d { filters: 2, size };
        Architecture::new(Shape::new(3, 8, 8), vec![layer]).unwrap_err().to_string()
    };
    assert!(refused([3, 4]).contains("does not come out even"));
    assert!(refused([0, 4]).contains("does not come out even"));
}
