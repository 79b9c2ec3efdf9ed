//! A network comes back from its widened form bit for bit, and only with the key.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_confusion::{
    ConfusionKey, Error, Groups, PerLayer, Plan, Side, Strategy, confuse, gain, search, strip, without,
};
use cleave_nets::{
    AlexNet, Architecture, CifarResNet, ConvMixer, DenseNet, Layer, Network, RegNetX, ResNet, Shape, SignalKind,
    SignalSpec, Vgg, Window, device,
};
use cleave_secrets::{Contents, Secret};
use proptest::prelude::{ProptestConfig, Strategy as _, prop_oneof, proptest};
use proptest::strategy::BoxedStrategy;

fn secret(seed: u8) -> Secret {
    Secret::from_bytes(&[seed; 32])
}

fn conv(filters: usize, side: usize, groups: usize) -> Layer {
    Layer::Conv2d { filters, window: Window::square(side, 1, side / 2), groups, bias: groups == 1 }
}

const NORM: Layer = Layer::BatchNorm { epsilon: 1e-5 };

/// Random weights, the normalisations' statistics included, so that no channel is like another.
fn network(input: Shape, layers: Vec<Layer>) -> Network {
    let (architecture, device) = (Architecture::new(input, layers).unwrap(), device("flex").unwrap());
    let mut tensors = Network::random(architecture.clone(), 7, &device).unwrap().tensors().unwrap();
    for (name, tensor) in &mut tensors {
        if tensor.shape.len() == 1 {
            let low = if name.ends_with("running_var") || name.ends_with("weight") { 1.0 } else { 0.0 };
            for (at, value) in tensor.values.iter_mut().enumerate() {
                *value = low + (((at + name.len()) * 37) % 101) as f32 / 150.0;
            }
        }
    }
    Network::from_tensors(architecture, tensors, &device).unwrap()
}

fn images(network: &Network, count: usize) -> Vec<f32> {
    (0..count * network.input().values()).map(|at| ((at * 7919) % 997) as f32 / 500.0 - 1.0).collect()
}

fn key(network: &Network, proportion: f64, per_layer: PerLayer, seed: u8) -> ConfusionKey {
    let groups = Groups::of(network.architecture()).unwrap();
    let plan = Plan::uniform(&groups, proportion, per_layer).unwrap();
    ConfusionKey::draw(secret(seed), &groups, &plan).unwrap()
}

fn scores(network: &Network) -> Vec<f32> {
    let signal = network.signal_shape().map(|shape| vec![0.5; 2 * shape.values()]);
    network.infer(images(network, 2), signal, 2).unwrap()
}

/// Everything that must hold for any network: it runs widened, is another function then, and comes back exactly.
fn comes_back(plain: &Network, proportion: f64, per_layer: PerLayer, strategy: Strategy) {
    let key = key(plain, proportion, per_layer, 3);
    let widened = confuse(plain, &key, strategy, &secret(9)).unwrap();
    let count = |network: &Network| network.tensors().unwrap().values().map(|t| t.values.len()).sum::<usize>();
    assert!(count(&widened) > count(plain));
    assert!(scores(&widened).iter().all(|score| score.is_finite()));
    assert_ne!(scores(&widened), scores(plain), "the neurons feed into nothing");
    let groups = Groups::of(widened.architecture()).unwrap();
    assert_eq!(groups.list().len(), key.plan().units().len());
    let back = strip(&widened, &key).unwrap();
    assert_eq!(back.architecture(), plain.architecture());
    assert_eq!(back.tensors().unwrap(), plain.tensors().unwrap());
    assert_eq!(scores(&back), scores(plain));
}

fn residual(width: usize) -> Network {
    let block = |width: usize, shortcut| Layer::Residual {
        body: vec![conv(width, 3, 1), NORM, Layer::Relu, conv(width, 3, 1), NORM],
        shortcut,
    };
    let layers = vec![
        conv(width, 3, 1),
        NORM,
        Layer::Relu,
        block(width, vec![]),
        Layer::Relu,
        block(2 * width, vec![conv(2 * width, 1, 1), NORM]),
        Layer::Relu,
        Layer::GlobalAvgPool,
        Layer::Linear { features: 3 },
    ];
    network(Shape::new(3, 8, 8), layers)
}

#[test]
fn channels_that_are_added_to_each_other_are_one_group() {
    let groups = Groups::of(residual(8).architecture()).unwrap();
    let of: Vec<_> = groups.list().iter().map(|group| (group.units, group.writers.clone())).collect();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let expected = [
        (8, names(&["0", "3.body.3"])),
        (8, names(&["3.body.0"])),
        (16, names(&["5.body.0"])),
        (16, names(&["5.body.3", "5.shortcut.0"])),
    ];
    assert_eq!(of, expected);
}

#[test]
fn grouped_convolutions_grow_by_whole_groups() {
    let layers = vec![conv(12, 1, 1), NORM, conv(24, 3, 3), Layer::Relu, conv(6, 1, 1), Layer::GlobalAvgPool];
    let plain = network(Shape::new(3, 6, 6), layers);
    let groups = Groups::of(plain.architecture()).unwrap();
    assert_eq!(groups.list().len(), 1, "the last convolution's channels are the output");
    assert_eq!((groups.list()[0].units, groups.list()[0].width), (3, 4));
    let plan = Plan::new(&groups, vec![2]).unwrap();
    let key = ConfusionKey::draw(secret(1), &groups, &plan).unwrap();
    let widened = confuse(&plain, &key, Strategy::Samp, &secret(2)).unwrap();
    assert!(matches!(widened.architecture().layers[2], Layer::Conv2d { filters: 40, groups: 5, .. }));
    assert_eq!(strip(&widened, &key).unwrap().tensors().unwrap(), plain.tensors().unwrap());
}

#[test]
fn a_local_convolution_of_a_single_patch_comes_back() {
    let layers = vec![
        conv(4, 3, 1),
        Layer::LocalConv2d { filters: 6, size: [4, 4] },
        Layer::Relu,
        Layer::Linear { features: 3 },
    ];
    comes_back(&network(Shape::new(1, 4, 4), layers), 0.5, PerLayer::Absolute, Strategy::Samp);
}

#[test]
fn known_networks_come_back_under_every_strategy() {
    let of = |architecture: Architecture| network(architecture.input, architecture.layers);
    let alexnet = AlexNet { size: 64, divisor: 16, ..AlexNet::default() }.architecture().unwrap();
    let joined = alexnet.with_join(2, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
    let mixer = ConvMixer { size: 16, classes: 3, width: 8, depth: 2, kernel: 3, ..ConvMixer::default() };
    for plain in [of(alexnet), of(joined), of(mixer.architecture().unwrap()), residual(8)] {
        for strategy in Strategy::ALL {
            comes_back(&plain, 0.2, PerLayer::Absolute, strategy);
        }
    }
}

#[test]
fn every_published_architecture_comes_back() {
    let vgg = |depth, batch_norm| Vgg { depth, batch_norm, size: 32, classes: 5, divisor: 16, ..Vgg::default() };
    let resnet = |depth| ResNet { depth, size: 32, classes: 5, divisor: 8, ..ResNet::default() };
    let all = [
        vgg(11, false).architecture(),
        vgg(11, true).architecture(),
        vgg(16, false).architecture(),
        vgg(16, true).architecture(),
        resnet(18).architecture(),
        resnet(50).architecture(),
        CifarResNet { depth: 20, divisor: 2, classes: 5, ..CifarResNet::default() }.architecture(),
        RegNetX { size: 32, classes: 5, ..RegNetX::default() }.architecture(),
        DenseNet { size: 32, classes: 5, growth: 8, ..DenseNet::default() }.architecture(),
        DenseNet { size: 16, classes: 5, ..DenseNet::compact(22, 4).unwrap() }.architecture(),
    ];
    for architecture in all.map(Result::unwrap) {
        let plain = network(architecture.input, architecture.layers);
        comes_back(&plain, 0.1, PerLayer::Absolute, Strategy::Mixed);
        comes_back(&plain, 0.1, PerLayer::Relative, Strategy::Paired);
    }
}

fn layer() -> BoxedStrategy<Layer> {
    let side = || prop_oneof![proptest::strategy::Just(1_usize), proptest::strategy::Just(3)];
    let width = || 1..4_usize;
    let plain = prop_oneof![
        (width(), side()).prop_map(|(width, side)| conv(2 * width, side, 1)),
        (width(), side()).prop_map(|(width, side)| conv(2 * width, side, 2)),
        proptest::strategy::Just(NORM),
        proptest::strategy::Just(Layer::Relu),
        proptest::strategy::Just(Layer::MaxPool(Window::square(2, 1, 0))),
        width().prop_map(|width| Layer::LocalConv2d { filters: 2 * width, size: [1, 1] }),
    ];
    let branch = (width(), side()).prop_map(|(_, side)| vec![conv(4, side, 2), NORM, conv(4, 1, 1)]);
    let identity = width().prop_map(|width| Layer::Residual {
        body: vec![conv(2 * width, 1, 1), Layer::Gelu, conv(4, 3, 1)],
        shortcut: vec![conv(4, 1, 1)],
    });
    let whole = branch.prop_map(|body| Layer::Residual { body, shortcut: vec![conv(4, 1, 2)] });
    let dense = (width(), side())
        .prop_map(|(width, side)| Layer::Concat { branches: vec![vec![], vec![NORM, conv(2 * width, side, 1)]] });
    prop_oneof![4 => plain, 1 => identity, 1 => whole, 1 => dense].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_network_comes_back(
        layers in proptest::collection::vec(layer(), 1..6),
        proportion in 0.02..1.0_f64,
        relative in proptest::bool::ANY,
        strategy in proptest::sample::select(Strategy::ALL.to_vec()),
        flat in proptest::bool::ANY,
    ) {
        let pool = if flat { Layer::Flatten } else { Layer::GlobalAvgPool };
        // Behind a rectifier all five may be 0 for every sample, and then nothing before them is seen in the scores.
        let tail = [pool, Layer::Linear { features: 5 }, Layer::Gelu, Layer::Linear { features: 3 }];
        let layers = [vec![conv(4, 3, 1)], layers, tail.to_vec()].concat();
        if Architecture::new(Shape::new(2, 7, 7), layers.clone()).is_ok() {
            let per_layer = if relative { PerLayer::Relative } else { PerLayer::Absolute };
            let plain = network(Shape::new(2, 7, 7), layers);
            let groups = Groups::of(plain.architecture()).unwrap();
            if Plan::uniform(&groups, proportion, per_layer).is_ok() {
                comes_back(&plain, proportion, per_layer, strategy);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_key_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120), version in 0..3_u8) {
        let bytes = [vec![version], bytes].concat();
        let read = ConfusionKey::from_contents(&Contents::new(bytes));
        if let Ok(key) = read {
            assert!(key.bits() >= 0.0);
        }
    }
}

#[test]
fn a_key_survives_its_file_and_damage_is_named() {
    let key = key(&residual(40), 0.3, PerLayer::Relative, 4);
    let contents = key.to_contents();
    let read = ConfusionKey::from_contents(&contents).unwrap();
    assert_eq!(read.masks_in_the_clear(), key.masks_in_the_clear());
    assert_eq!(read.id(), key.id());
    for cut in 0..contents.payload().len() {
        let part = Contents::new(contents.payload()[..cut].to_vec());
        assert!(matches!(ConfusionKey::from_contents(&part), Err(Error::Key { .. })), "{cut} bytes");
    }
    let longer = Contents::new([contents.payload(), &[0]].concat());
    assert!(ConfusionKey::from_contents(&longer).err().unwrap().to_string().contains("1 bytes follow"));
}

#[test]
fn the_wrong_key_is_refused_or_gives_another_network() {
    let plain = residual(20);
    let (right, wrong) = (key(&plain, 0.2, PerLayer::Absolute, 3), key(&plain, 0.2, PerLayer::Absolute, 4));
    let widened = confuse(&plain, &right, Strategy::Samp, &secret(9)).unwrap();
    assert!(matches!(wrong.check_id(right.id()), Err(Error::OtherKey { .. })));
    let other = strip(&widened, &wrong).unwrap();
    assert_eq!(other.architecture(), plain.architecture());
    assert_ne!(scores(&other), scores(&plain));
    let narrow = key(&residual(4), 0.2, PerLayer::Absolute, 3);
    assert!(matches!(strip(&widened, &narrow), Err(Error::OtherNetwork { .. })));
    assert!(matches!(confuse(&plain, &narrow, Strategy::Samp, &secret(9)), Err(Error::OtherNetwork { .. })));
    assert!(matches!(confuse(&widened, &right, Strategy::Samp, &secret(9)), Err(Error::OtherNetwork { .. })));
}

#[test]
fn proportions_that_make_no_sense_are_refused() {
    let groups = Groups::of(residual(8).architecture()).unwrap();
    for got in [0.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(Plan::uniform(&groups, got, PerLayer::Absolute), Err(Error::Proportion { .. })), "{got}");
    }
    let Err(Error::NothingInserted { least, .. }) = Plan::uniform(&groups, 0.01, PerLayer::Relative) else {
        panic!("0.01 of 16 channels is none");
    };
    assert!(Plan::uniform(&groups, least, PerLayer::Relative).is_ok());
    let even = |proportion| Plan::uniform(&groups, proportion, PerLayer::Relative).unwrap();
    let only =
        |names: &[&str]| even(0.25).only(&groups, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    assert_eq!(only(&["3.body.3"]).unwrap().units(), [2, 0, 0, 0], "it is added to what 0 writes");
    assert!(matches!(only(&["3.body.4"]), Err(Error::NoSuchLayer { .. })));
    assert!(matches!(even(0.05).only(&groups, &["0".to_owned()]), Err(Error::NoNeurons)));
    let none = Plan::new(&groups, vec![0; 4]).unwrap();
    assert!(matches!(ConfusionKey::draw(secret(1), &groups, &none), Err(Error::NoNeurons)));
    let single = network(Shape::new(1, 4, 4), vec![conv(3, 3, 1), Layer::GlobalAvgPool]);
    let groups = Groups::of(single.architecture()).unwrap();
    assert!(matches!(Plan::uniform(&groups, 0.5, PerLayer::Absolute), Err(Error::NotConfusable { .. })));
}

#[test]
fn weights_drawn_anew_differ_and_positions_stay() {
    let plain = residual(20);
    let key = key(&plain, 0.2, PerLayer::Absolute, 3);
    let [one, two] = [5, 6].map(|seed| confuse(&plain, &key, Strategy::Samp, &secret(seed)).unwrap());
    assert_ne!(one.tensors().unwrap(), two.tensors().unwrap());
    assert_eq!(strip(&one, &key).unwrap().tensors().unwrap(), strip(&two, &key).unwrap().tensors().unwrap());
}

#[test]
fn half_of_the_neurons_of_mixed_are_as_at_the_start_of_training() {
    let layers = vec![conv(200, 1, 1), NORM, Layer::GlobalAvgPool, Layer::Linear { features: 3 }];
    let plain = network(Shape::new(3, 2, 2), layers);
    let key = key(&plain, 1.0, PerLayer::Relative, 3);
    let widened = confuse(&plain, &key, Strategy::Mixed, &secret(9)).unwrap();
    let scale = &widened.tensors().unwrap()["1.running_mean"].values;
    let fresh = scale.iter().zip(&key.masks_in_the_clear()[0]).filter(|&(&mean, &new)| new && mean == 0.0).count();
    assert!((60..140).contains(&fresh), "{fresh} of 200");
}

#[test]
fn leaving_out_one_of_a_pair_does_more_harm_than_both_do() {
    let layers = vec![
        conv(32, 3, 1),
        Layer::Relu,
        conv(32, 3, 1),
        Layer::Relu,
        Layer::GlobalAvgPool,
        Layer::Linear { features: 10 },
    ];
    let plain = network(Shape::new(3, 8, 8), layers);
    let groups = Groups::of(plain.architecture()).unwrap();
    let key = ConfusionKey::draw(secret(3), &groups, &Plan::new(&groups, vec![2, 0]).unwrap()).unwrap();
    let pixels = images(&plain, 8);
    let distance = |other: &Network| gain(&plain, other, &pixels, 0.0).unwrap().distance;
    let (mut both, mut one) = (0.0, 0.0);
    for seed in 0..8 {
        let widened = confuse(&plain, &key, Strategy::Paired, &secret(seed)).unwrap();
        both += distance(&widened);
        let first = key.masks_in_the_clear()[0].iter().position(|&confusion| confusion).unwrap();
        let marked = vec![(0..34).map(|unit| unit == first).collect(), vec![false; 32]];
        one += distance(&without(&widened, &marked).unwrap());
    }
    assert!(one > 1.1 * both, "{one} against {both}");
}

#[test]
fn the_search_keeps_its_budget_and_finds_no_less_than_an_even_plan() {
    let plain = residual(16);
    let pixels = images(&plain, 8);
    let groups = Groups::of(plain.architecture()).unwrap();
    let mut steps = 0;
    let found = search(&plain, &pixels, (Strategy::Samp, 0.0, 0.1), &secret(5), &mut |step| {
        steps += 1;
        step.gain.memory <= 0.1
    });
    let found = found.unwrap();
    let measure = |plan: &Plan| {
        let key = ConfusionKey::draw(secret(5), &groups, plan).unwrap();
        gain(&plain, &confuse(&plain, &key, Strategy::Samp, &secret(5)).unwrap(), &pixels, 0.0).unwrap()
    };
    let even = (1..20).map(|percent| Plan::uniform(&groups, f64::from(percent) / 100.0, PerLayer::Relative));
    let even = even.flatten().map(|plan| measure(&plan)).filter(|gain| gain.memory <= 0.1);
    let best = even.map(|gain| gain.distance).fold(0.0, f64::max);
    let found = measure(&found);
    assert!(steps > 1 && found.memory <= 0.1);
    assert!(found.distance >= best, "{} against {best}", found.distance);
}

#[test]
fn a_unit_with_outgoing_weights_of_0_is_as_good_as_left_out() {
    for plain in [
        residual(8),
        network(
            Shape::new(3, 8, 8),
            vec![conv(6, 3, 1), NORM, Layer::Flatten, Layer::Linear { features: 4 }, Layer::Linear { features: 2 }],
        ),
    ] {
        let groups = Groups::of(plain.architecture()).unwrap();
        let marked: Vec<Vec<bool>> =
            groups.list().iter().map(|group| (0..group.units).map(|unit| unit % 3 == 1).collect()).collect();
        let factors: Vec<Vec<f32>> =
            marked.iter().map(|marked| marked.iter().map(|&marked| f32::from(!marked)).collect()).collect();
        let mut tensors = plain.tensors().unwrap();
        groups.gate(&mut tensors, &factors).unwrap();
        let gated = Network::from_tensors(plain.architecture().clone(), tensors, plain.device()).unwrap();
        let left = scores(&without(&plain, &marked).unwrap());
        let furthest = scores(&gated).iter().zip(&left).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-3, "{furthest}");
        let wrong = groups.gate(&mut plain.tensors().unwrap(), &factors[1..]);
        assert!(matches!(wrong, Err(Error::OtherNetwork { .. })));
    }
}

#[test]
fn sums_over_outgoing_weights_are_derivatives_by_a_common_factor() {
    let plain = residual(8);
    let groups = Groups::of(plain.architecture()).unwrap();
    let tensors = plain.tensors().unwrap();
    // The sum of all scores, and its derivative by the factor of a unit, against a difference.
    let sum = |network: &Network| scores(network).iter().map(|&score| f64::from(score)).sum::<f64>();
    let steady = plain.steady();
    let dims = [2, 3, 8, 8];
    let x =
        burn::tensor::Tensor::<4>::from_data(burn::tensor::TensorData::new(images(&plain, 2), dims), plain.device());
    let total = steady.forward(x.autodiff(), cleave_nets::Pass::default()).unwrap().sum();
    let gradients = steady.gradients(&total.backward()).unwrap();
    assert_eq!(plain.tensors().unwrap(), tensors, "running statistics stay");
    let derivatives = groups.outgoing(&tensors, &gradients).unwrap();
    assert!(matches!(groups.outgoing(&tensors, &Default::default()), Err(Error::OtherNetwork { .. })));
    for (group, unit) in [(0, 0), (1, 3), (3, 7)] {
        let at = |factor: f32| {
            let mut factors: Vec<Vec<f32>> = groups.list().iter().map(|group| vec![1.0; group.units]).collect();
            factors[group][unit] = factor;
            let mut tensors = tensors.clone();
            groups.gate(&mut tensors, &factors).unwrap();
            sum(&Network::from_tensors(plain.architecture().clone(), tensors, plain.device()).unwrap())
        };
        let (expected, got) = ((at(1.01) - at(0.99)) / 0.02, derivatives[group][unit]);
        assert!((expected - got).abs() < 0.02 * (1.0 + expected.abs()), "{expected} {got}");
    }
}

#[test]
fn each_unit_has_its_own_weights() {
    let plain = residual(8);
    let groups = Groups::of(plain.architecture()).unwrap();
    let tensors = plain.tensors().unwrap();
    let bias = groups.values(&tensors, Side::Incoming, |name| name == "0.bias").unwrap();
    let own: Vec<f32> = bias[0].concat();
    assert_eq!(own, tensors["0.bias"].values);
    assert!(bias[1].iter().all(Vec::is_empty));
    let last = groups.values(&tensors, Side::Outgoing, |name| name == "8.weight").unwrap();
    assert!(last[3].iter().all(|column| column.len() == 3), "one for each class");
    let other = residual(4).tensors().unwrap();
    assert!(matches!(groups.values(&other, Side::Incoming, |_| true), Err(Error::OtherNetwork { .. })));
}
