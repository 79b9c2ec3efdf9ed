//! Network and image under one key answer as both did without.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_data::{Pixels, Preparation};
use cleave_keyed::{Error, Keying, Lock, Scramble, lock, rekey, unlock};
use cleave_nets::{Architecture, ConvMixer, Layer, Network, Shape, Window};
use cleave_secrets::Secret;
use proptest::prelude::*;

const CLASSES: usize = 3;

fn secret(seed: u8) -> Secret {
    Secret::from_bytes(&[seed; 32])
}

fn values(count: usize, seed: u64) -> Vec<f32> {
    let mix = |at: u64| (at + 1).wrapping_mul(seed | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) % 2001;
    (0..count as u64).map(|at| mix(at) as f32 / 1000.0 - 1.0).collect()
}

/// Random weights, the normalisations' statistics included.
fn network(architecture: Architecture, seed: u64) -> Network {
    let device = cleave_nets::device("flex").unwrap();
    let mut tensors = Network::random(architecture.clone(), seed, &device).unwrap().tensors().unwrap();
    for (name, tensor) in &mut tensors {
        let low = if name.ends_with("running_var") || name.ends_with("weight") { 1.5 } else { 0.0 };
        if tensor.shape.len() == 1 {
            tensor.values = values(tensor.values.len(), seed ^ name.len() as u64).iter().map(|v| low + v).collect();
        }
    }
    Network::from_tensors(architecture, tensors, &device).unwrap()
}

fn mixer(size: usize) -> Network {
    let settings = ConvMixer { size, classes: CLASSES, width: 4, depth: 1, kernel: 3, ..ConvMixer::default() };
    network(settings.architecture().unwrap(), 5)
}

fn scramble(network: &Network, keying: Keying, seed: u8) -> Scramble {
    let secret = secret(seed);
    Scramble::new(&secret, &Lock::of(network.architecture(), secret.id(), keying).unwrap()).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A network, its preparation, and images as bytes.
#[derive(Debug)]
struct Setting {
    network: Network,
    preparation: Preparation,
    images: Vec<Pixels>,
}

prop_compose! {
    fn setting()(
        channels in prop_oneof![Just(1usize), Just(3)], rows in 1..5usize, columns in 1..5usize,
        down in 1..4usize, across in 1..4usize, mixer in any::<bool>(), bias in any::<bool>(), seed in any::<u64>(), batch in 1..4usize,
        mean in prop::collection::vec(0.2f32..0.8, 3), std in prop::collection::vec(0.1f32..0.6, 3),
    ) -> Setting {
        let architecture = if mixer {
            let size = rows * down;
            ConvMixer { size, channels, classes: CLASSES, width: 4, depth: 1, kernel: 3, patch: rows }.architecture()
        } else {
            let window = Window { size: [rows, columns], stride: [rows, columns], padding: [0, 0] };
            let layers = vec![
                Layer::Conv2d { filters: 5, window, groups: 1, bias },
                Layer::BatchNorm { epsilon: 1e-5 },
                Layer::Relu,
                Layer::Flatten,
                Layer::Linear { features: CLASSES },
            ];
            Architecture::new(Shape::new(channels, rows * down, columns * across), layers)
        };
        let network = network(architecture.unwrap(), seed);
        let shape = network.input();
        let plain = Preparation::new(shape.height, shape.width, channels);
        let bytes = |at: u64| values(shape.values(), seed ^ at).iter().map(|v| (127.5 * (v + 1.0)) as u8).collect();
        let image = |at: u64| Pixels::new(shape.width, shape.height, channels, bytes(at)).unwrap();
        let images = (0..batch as u64).map(image).collect();
        Setting { network, preparation: plain.normalised(&mean[..channels], &std[..channels]), images }
    }
}

impl Setting {
    fn prepared(&self, preparation: &Preparation) -> Vec<f32> {
        self.images.iter().flat_map(|image| preparation.prepare(image).unwrap()).collect()
    }

    fn plain_answers(&self) -> Vec<f32> {
        self.network.infer(self.prepared(&self.preparation), None, self.images.len()).unwrap()
    }
}

fn keying() -> impl Strategy<Value = Keying> {
    prop_oneof![Just(Keying::Shared), Just(Keying::PerPatch)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_locked_network_answers_keyed_images_as_before(
        setting in setting(), keying in keying(), keys in any::<[u8; 2]>(),
    ) {
        let key = scramble(&setting.network, keying, keys[0]);
        let (locked, preparation) = lock(&setting.network, &setting.preparation, &key).unwrap();
        let (plain, batch) = (setting.prepared(&preparation), setting.images.len());
        let answers = setting.plain_answers();
        let got = locked.infer(key.apply(&plain).unwrap(), None, batch).unwrap();
        prop_assert!(largest_difference(&answers, &got) <= 1e-4, "{answers:?} and {got:?}");

        let open = unlock(&locked, &key).unwrap();
        let got = open.infer(plain.clone(), None, batch).unwrap();
        prop_assert!(largest_difference(&answers, &got) <= 1e-4, "unlocked: {answers:?} and {got:?}");

        let other = scramble(&setting.network, keying, keys[1]);
        let moved = rekey(&locked, &key, &other).unwrap();
        let got = moved.infer(other.apply(&plain).unwrap(), None, batch).unwrap();
        prop_assert!(largest_difference(&answers, &got) <= 1e-4, "after a change of keys: {answers:?} and {got:?}");
        // The same weights in another place: not one of them is rounded anew.
        let straight = lock(&setting.network, &setting.preparation, &other).unwrap().0;
        prop_assert_eq!(moved.tensors().unwrap(), straight.tensors().unwrap());
    }

    #[test]
    fn a_shared_key_can_become_one_for_each_patch_and_not_back(setting in setting()) {
        let shared = scramble(&setting.network, Keying::Shared, 1);
        let each = scramble(&setting.network, Keying::PerPatch, 2);
        let (locked, preparation) = lock(&setting.network, &setting.preparation, &shared).unwrap();
        let moved = rekey(&locked, &shared, &each).unwrap();
        let keyed = each.apply(&setting.prepared(&preparation)).unwrap();
        let got = moved.infer(keyed, None, setting.images.len()).unwrap();
        prop_assert!(largest_difference(&setting.plain_answers(), &got) <= 1e-4);
        let refused = matches!(rekey(&moved, &each, &shared), Err(Error::PerPatchToShared));
        prop_assert!(refused);
    }

    #[test]
    fn keyed_bytes_and_keyed_values_are_the_same_image(setting in setting(), keying in keying()) {
        let key = scramble(&setting.network, keying, 3);
        let preparation = lock(&setting.network, &setting.preparation, &key).unwrap().1;
        let plain = setting.prepared(&preparation);
        let keyed = key.apply(&plain).unwrap();
        prop_assert_eq!(&key.undo(&keyed).unwrap(), &plain);
        let bytes = setting.images.iter().map(|image| key.apply_pixels(image).unwrap());
        let bytes: Vec<f32> = bytes.flat_map(|image| preparation.prepare(&image).unwrap()).collect();
        prop_assert!(largest_difference(&bytes, &keyed) < 1e-6); // 255 - b is rounded once, -x not at all
        let sizes = |values: &[f32]| {
            let mut sizes: Vec<_> = values.iter().map(|value| value.abs()).collect();
            sizes.sort_by(f32::total_cmp);
            sizes
        };
        prop_assert_eq!(sizes(&plain), sizes(&keyed), "values move and change their sign, nothing else");
    }
}

#[test]
fn another_key_gives_other_answers() {
    let network = mixer(8);
    for keying in [Keying::Shared, Keying::PerPatch] {
        let (key, other) = (scramble(&network, keying, 1), scramble(&network, keying, 2));
        let (locked, _) = lock(&network, &Preparation::new(8, 8, 3), &key).unwrap();
        let images = values(4 * 192, 9);
        let right = locked.infer(key.apply(&images).unwrap(), None, 4).unwrap();
        for wrong in [other.apply(&images).unwrap(), images] {
            let wrong = locked.infer(wrong, None, 4).unwrap();
            assert!(largest_difference(&right, &wrong) > 0.05, "{right:?} and {wrong:?}");
        }
    }
}

/// Where value `k` of block `at` lies in an image of 8x8 pixels in three channels, in blocks of 4x4.
const fn place(at: usize, k: usize) -> usize {
    k / 16 * 64 + (at / 2 * 4 + k / 4 % 4) * 8 + at % 2 * 4 + k % 4
}

#[test]
fn patches_share_an_order_or_have_their_own() {
    let network = mixer(8);
    let mut image = vec![0.0; 192];
    for (at, k) in (0..4).flat_map(|at| (0..48).map(move |k| (at, k))) {
        image[place(at, k)] = (k + 1) as f32; // each block alike
    }
    let blocks = |keying| {
        let keyed = scramble(&network, keying, 7).apply(&image).unwrap();
        [0, 1, 2, 3].map(|at| (0..48).map(|k| keyed[place(at, k)]).collect::<Vec<_>>())
    };
    let [first, others @ ..] = blocks(Keying::Shared);
    assert!(others.iter().all(|other| *other == first));
    assert_eq!(first.iter().filter(|value| **value < 0.0).count(), 24, "half of the signs");
    let each = blocks(Keying::PerPatch);
    assert!((0..4).all(|at| (0..at).all(|other| each[at] != each[other])));
}

/// Pins the format: what one release keys, every later one must be able to read.
#[test]
fn the_layout_of_a_key_stays_what_it_is() {
    let secret = secret(42);
    let lock = Lock { key: secret.id(), image: Shape::new(1, 2, 4), patch: [2, 2], keying: Keying::Shared };
    let image: Vec<f32> = (1..=8).map(|value| value as f32).collect();
    let shared = Scramble::new(&secret, &lock).unwrap().apply(&image).unwrap();
    let each = Scramble::new(&secret, &Lock { keying: Keying::PerPatch, ..lock }).unwrap().apply(&image).unwrap();
    assert_eq!((shared, each), (SHARED.to_vec(), EACH.to_vec()));
}

// Both were also made by a few lines of Python that follow the documentation of `cleave_secrets::Stream` and `Scramble`.
const SHARED: [f32; 8] = [-5.0, 6.0, -7.0, 8.0, 1.0, -2.0, 3.0, -4.0];
const EACH: [f32; 8] = [-1.0, 5.0, -4.0, -7.0, -6.0, 2.0, 3.0, 8.0];

#[test]
fn what_cannot_be_locked_is_named() {
    let refused = |layer: Layer| {
        let architecture = Architecture::new(Shape::new(3, 8, 8), vec![layer]).unwrap();
        Lock::of(&architecture, secret(1).id(), Keying::Shared).unwrap_err().to_string()
    };
    let conv = |window, groups| Layer::Conv2d { filters: 3, window, groups, bias: true };
    assert!(refused(conv(Window::square(4, 2, 0), 1)).contains("a stride of [2, 2]"));
    assert!(refused(conv(Window::square(4, 4, 1), 1)).contains("pads the image by [1, 1]"));
    assert!(refused(conv(Window::square(4, 4, 0), 3)).contains("3 groups"));
    assert!(refused(Layer::Relu).contains("no convolution"));
    assert!(refused(Layer::Flatten).contains("a flatten"));
    let uneven = conv(Window::square(3, 3, 0), 1); // 8 pixels hold two windows, and two pixels are in neither
    assert!(refused(uneven).contains("do not fall into blocks of [3, 3]"));
}

#[test]
fn a_lock_that_makes_no_sense_cannot_be_read() {
    let lock = Lock::of(mixer(8).architecture(), secret(1).id(), Keying::Shared).unwrap();
    let mut written = serde_json::to_value(&lock).unwrap();
    assert_eq!(serde_json::from_value::<Lock>(written.clone()).unwrap(), lock);
    for patch in [[0, 4], [4, 0], [3, 4], [4, usize::MAX], [usize::MAX / 2, 2]] {
        written["patch"] = serde_json::json!(patch);
        assert!(serde_json::from_value::<Lock>(written.clone()).is_err(), "{patch:?}");
    }
    written["patch"] = serde_json::json!([4, 4]);
    for height in [0, usize::MAX - 3] {
        written["image"]["height"] = serde_json::json!(height);
        assert!(serde_json::from_value::<Lock>(written.clone()).is_err(), "{height}");
    }
}

#[test]
fn a_locked_network_is_not_locked_again_by_mistake() {
    let network = mixer(8);
    let key = scramble(&network, Keying::PerPatch, 1);
    let (locked, preparation) = lock(&network, &Preparation::new(8, 8, 3), &key).unwrap();
    assert!(matches!(lock(&locked, &preparation, &key), Err(Error::NotLockable { .. })));
}

#[test]
fn another_secret_or_image_is_refused() {
    let network = mixer(8);
    let lock_of_one = Lock::of(network.architecture(), secret(1).id(), Keying::Shared).unwrap();
    let other = Scramble::new(&secret(2), &lock_of_one).err().unwrap();
    assert!(matches!(other, Error::OtherKey { expected, got } if expected == secret(1).id() && got == secret(2).id()));
    let key = Scramble::new(&secret(1), &lock_of_one).unwrap();
    for length in [0, 1, 191, 193] {
        assert!(matches!(key.apply(&vec![0.0; length]), Err(Error::OtherImage { .. })), "{length}");
        assert!(matches!(key.undo(&vec![0.0; length]), Err(Error::OtherImage { .. })), "{length}");
    }
    let grey = Pixels::new(8, 8, 1, vec![0; 64]).unwrap();
    assert!(matches!(key.apply_pixels(&grey), Err(Error::OtherImage { .. })));
    assert!(matches!(lock(&network, &Preparation::new(4, 8, 3), &key), Err(Error::OtherImage { .. })));
}
