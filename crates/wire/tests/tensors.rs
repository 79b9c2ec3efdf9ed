//! Floats to payload and back: exact sizes, finite numbers, known error bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use cleave_wire::{Element, Layout, WireError};
use proptest::prelude::*;

fn layout(item_len: usize, batch: usize, element: Element) -> Layout {
    Layout::new(item_len, batch, element).unwrap()
}

#[test]
fn payload_sizes_are_exact() {
    let bytes = |element| layout(5, 3, element).byte_len();
    assert_eq!([bytes(Element::F32), bytes(Element::F16), bytes(Element::U8)], [60, 30, 39]);
}

#[test]
fn impossible_layouts_are_refused() {
    for batch in [0, 65, usize::MAX] {
        let error = Layout::new(4, batch, Element::F32).unwrap_err();
        assert!(matches!(error, WireError::Field { field: "batch", .. }), "{error}");
    }
    assert!(matches!(Layout::new(0, 1, Element::U8), Err(WireError::Field { .. })));
    for element in Element::NUMBERS {
        for item_len in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 4] {
            let error = Layout::new(item_len, 64, element).unwrap_err();
            assert_eq!(error, WireError::Unaddressable { item_len, batch: 64 });
        }
    }
}

#[test]
fn wrong_number_of_values_or_bytes_is_refused() {
    for element in Element::NUMBERS {
        let layout = layout(4, 2, element);
        let size = layout.byte_len();
        for got in [0, 7, 9] {
            let error = WireError::TensorSize { unit: "values", expected: 8, got, batch: 2 };
            assert_eq!(layout.encode(&vec![0.0; got]), Err(error));
        }
        for got in [0, size - 1, size + 1] {
            let error = WireError::TensorSize { unit: "bytes", expected: size, got, batch: 2 };
            assert_eq!(layout.decode(&vec![0; got]), Err(error));
        }
    }
}

#[test]
fn nan_and_infinity_are_refused_when_sending() {
    for element in Element::NUMBERS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0; 1200];
            values[1100] = bad;
            let error = layout(600, 2, element).encode(&values).unwrap_err();
            assert_eq!(error, WireError::NotFinite { index: 1100 });
        }
    }
}

#[test]
fn nan_and_infinity_are_refused_when_receiving() {
    let mut bytes = vec![0; 40];
    bytes[36..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(layout(5, 2, Element::F32).decode(&bytes), Err(WireError::NotFinite { index: 9 }));
    let mut bytes = vec![0; 20];
    bytes[2..4].copy_from_slice(&0x7C00u16.to_le_bytes()); // infinity in half precision
    assert_eq!(layout(5, 2, Element::F16).decode(&bytes), Err(WireError::NotFinite { index: 1 }));
}

#[test]
fn value_beyond_half_precision_is_refused() {
    let mut values = vec![0.5; 700];
    values[600] = -70_000.0;
    let error = layout(700, 1, Element::F16).encode(&values).unwrap_err();
    assert_eq!(error, WireError::BeyondF16 { index: 600, value: -70_000.0 });
    assert!(layout(1, 1, Element::F16).encode(&[65_504.0]).is_ok());
}

#[test]
fn unusable_scale_or_offset_is_refused() {
    let layout = layout(1, 2, Element::U8);
    let hostile = [
        (f32::NAN, 0.0),
        (f32::INFINITY, 0.0),
        (-1.0, 0.0),
        (1.0, f32::NAN),
        (1.0, f32::NEG_INFINITY),
        (f32::MAX, 0.0),
        (1e37, f32::MAX),
    ];
    for (scale, offset) in hostile {
        let mut bytes = vec![0; 18];
        bytes[9..13].copy_from_slice(&scale.to_le_bytes());
        bytes[13..17].copy_from_slice(&offset.to_le_bytes());
        let error = layout.decode(&bytes).unwrap_err();
        assert!(matches!(error, WireError::AffineRange { item: 1, .. }), "{scale} {offset}");
    }
}

#[test]
fn each_u8_item_has_its_own_scale() {
    let values = [0.0, 1.0, 0.0, 1000.0];
    let layout = layout(2, 2, Element::U8);
    let back = layout.decode(&layout.encode(&values).unwrap()).unwrap();
    assert!((back[1] - 1.0).abs() < 1e-6 && (back[3] - 1000.0).abs() < 1e-3, "{back:?}");
}

#[test]
fn constant_item_survives_u8() {
    let layout = layout(3, 1, Element::U8);
    for constant in [0.0, -3.25, f32::MAX, f32::MIN_POSITIVE] {
        let bytes = layout.encode(&[constant; 3]).unwrap();
        assert_eq!(layout.decode(&bytes), Ok(vec![constant; 3]));
    }
}

/// Items times item length, with values of one magnitude.
fn tensors(magnitude: f32) -> impl Strategy<Value = (usize, Vec<f32>)> {
    (1usize..=4, 1usize..600).prop_flat_map(move |(batch, item_len)| {
        let values = prop::collection::vec(-magnitude..=magnitude, batch * item_len);
        (Just(batch), values)
    })
}

fn there_and_back(batch: usize, values: &[f32], element: Element) -> Vec<f32> {
    let layout = layout(values.len() / batch, batch, element);
    layout.decode(&layout.encode(values).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f32_comes_back_bit_for_bit((batch, values) in tensors(f32::MAX)) {
        prop_assert_eq!(there_and_back(batch, &values, Element::F32), values);
    }

    #[test]
    fn f16_error_is_within_half_a_unit((batch, values) in tensors(65_000.0)) {
        for (back, value) in there_and_back(batch, &values, Element::F16).iter().zip(&values) {
            let bound = (value.abs() / 2048.0).max(2f32.powi(-25));
            prop_assert!((back - value).abs() <= bound, "{} {}", value, back);
        }
    }

    #[test]
    fn u8_error_is_within_half_a_step((batch, values) in tensors(1e30)) {
        let back = there_and_back(batch, &values, Element::U8);
        let items = values.chunks(values.len() / batch).zip(back.chunks(values.len() / batch));
        for (values, back) in items {
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // Half a step, and a little for rounding the scale and the result to f32.
            let bound = (greatest - least) / 510.0 * 1.001 + greatest.abs().max(least.abs()) * 1e-6;
            for (value, back) in values.iter().zip(back) {
                prop_assert!((back - value).abs() <= bound, "{} {}", value, back);
            }
        }
    }

    #[test]
    fn any_payload_decodes_to_finite_numbers_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200), batch in 1usize..4, item_len in 1usize..60,
    ) {
        for element in Element::NUMBERS {
            let layout = layout(item_len, batch, element);
            let mut bytes = bytes.clone();
            bytes.resize(layout.byte_len(), 0xA5);
            if let Ok(values) = layout.decode(&bytes) {
                prop_assert_eq!(values.len(), layout.value_len());
                prop_assert!(values.iter().all(|value| value.is_finite()));
            }
        }
    }
}
