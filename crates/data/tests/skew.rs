//! Uneven shares of classes: what is asked for, no image twice, none lost.

#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "tests; a list of one range is meant")]

use cleave_data::{DataError, Dataset, Pixels, Skew};
use std::collections::BTreeSet;

/// 40 images of each of so many classes; an image's pixel is its number.
fn set(classes: usize) -> Dataset {
    let names: Vec<_> = (0..classes).map(|class| class.to_string()).collect();
    let images = (0..40 * classes).map(|at| Pixels::new(1, 1, 1, vec![(at % 256) as u8]).unwrap()).collect();
    let labels: Vec<_> = (0..40 * classes).map(|at| at % classes).collect();
    Dataset::from_pixels("set", &names.iter().map(String::as_str).collect::<Vec<_>>(), images, &labels).unwrap()
}

fn names(data: &Dataset) -> BTreeSet<String> {
    (0..data.len()).map(|index| data.name(index)).collect()
}

#[test]
fn portions_hold_the_share_asked_for_in_the_order_of_the_set() {
    let all = set(3);
    let some = all.portions(&[0.0..1.0, 0.5..0.5, 0.1..0.35], 7).unwrap();
    assert_eq!(some.class_counts(), [40, 0, 10]);
    let order = |data: &Dataset| (0..data.len()).map(|index| data.name(index)).collect::<Vec<_>>();
    let kept = names(&some);
    assert_eq!(order(&some), order(&all).into_iter().filter(|name| kept.contains(name)).collect::<Vec<_>>());
    assert_eq!(names(&all.portions(&[0.0..1.0, 0.5..0.5, 0.1..0.35], 7).unwrap()), kept);
    assert_ne!(names(&all.portions(&[0.0..1.0, 0.5..0.5, 0.1..0.35], 8).unwrap()), kept);
}

#[test]
fn impossible_portions_are_refused() {
    let one = set(1);
    assert!(matches!(one.portions(&[], 0), Err(DataError::PortionCount { portions: 0, classes: 1 })));
    for wrong in [-0.1..0.5, 0.5..0.4, 0.5..1.1, f64::NAN..1.0, 0.0..f64::NAN] {
        assert!(matches!(one.portions(&[wrong], 0), Err(DataError::Portion { .. })));
    }
    for (model, share) in [(3, 0.5..0.6), (0, 0.6..0.5), (0, -0.1..0.5), (0, 0.5..1.1), (0, f64::NAN..1.0)] {
        assert!(matches!(Skew::Regular.portions(model, share, 0), Err(DataError::Skew { .. })));
    }
}

#[test]
fn three_models_get_every_image_once_and_most_of_their_own_digits() {
    let all = set(10);
    for skew in Skew::ALL {
        for seed in 0..4 {
            let groups = skew.groups(seed);
            assert_eq!(groups.concat().into_iter().collect::<BTreeSet<_>>().len(), 10);
            let models = [0, 1, 2].map(|model| {
                let data = all.portions(&skew.portions(model, 0.6..0.8, seed).unwrap(), seed).unwrap();
                for (digit, count) in data.class_counts().into_iter().enumerate() {
                    let expected = if groups[model].contains(&digit) { 24..=32 } else { 4..=8 };
                    assert!(expected.contains(&count), "{skew} {seed}: {count} images of {digit} for model {model}");
                }
                names(&data)
            });
            assert_eq!(models.iter().map(BTreeSet::len).sum::<usize>(), 400, "none twice");
            assert_eq!(models.iter().flatten().collect::<BTreeSet<_>>().len(), 400, "none lost");
        }
    }
}

#[test]
fn groups_are_those_of_the_paper() {
    assert_eq!(Skew::Regular.groups(9), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8, 9]]);
    assert_eq!(Skew::Likewise.groups(9), [vec![0, 6, 8], vec![2, 3, 5, 7], vec![1, 4, 9]]);
    assert_ne!(Skew::Random.groups(1), Skew::Random.groups(2));
    for skew in Skew::ALL {
        assert_eq!(skew.name().parse::<Skew>(), Ok(skew));
    }
    assert!("even".parse::<Skew>().is_err());
}
