//! What a front half costs its client: Tables 4 and 5 of Sun et al. (2019).
//!
//! Table 5 says that a link, a value sent, takes 8 bits on a line of "1Mb per second". Its times
//! are the links divided by 2^20 bit/s: the factor of 8 was left out of them. In its last two rows
//! the factor is in the column of links instead, for 519,168 are the bits of 13² · 384 = 64,896
//! links. [`STATED_BITS_PER_LINK`] and [`USED_BITS_PER_LINK`] give both readings.

use crate::LeakageError;
use crate::shape::{FrontLayer, Op, Stage};
use serde::{Deserialize, Serialize};

/// Bits a link as section 8.3 of Sun et al. (2019) states them.
pub const STATED_BITS_PER_LINK: u32 = 8;
/// Bits a link as the times of its Table 5 use them.
pub const USED_BITS_PER_LINK: u32 = 1;

/// How parameters are stored and values sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// Bits a stored weight or bias.
    pub bits_per_parameter: u32,
    /// Bits a value sent.
    pub bits_per_value: u32,
    /// Rate of the line, in bit/s.
    pub bits_per_second: f64,
}

impl CostModel {
    /// The model section 8.3 of Sun et al. (2019) states: parameters of 64 bits, links of 8 bits,
    /// 2^20 bit/s.
    #[must_use]
    pub fn paper() -> Self {
        Self { bits_per_parameter: 64, bits_per_value: STATED_BITS_PER_LINK, bits_per_second: f64::from(1 << 20) }
    }
}

/// What a cut behind one layer costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CutCost {
    /// The last layer of the front half.
    pub layer: String,
    /// Weights and biases from the image up to here, one bias an output channel or feature.
    pub parameters: u64,
    /// Their size in bytes.
    pub storage_bytes: u64,
    /// Values sent for an image.
    pub values: u64,
    /// Time to send them, in milliseconds.
    pub transfer_ms: f64,
}

/// The cost of a cut behind each of `layers`, listed from the image on, when the last layer goes as
/// far as `stage`.
///
/// # Errors
/// Any of the shape errors of [`LeakageError`].
pub fn cost_table(layers: &[FrontLayer], stage: Stage, model: &CostModel) -> Result<Vec<CutCost>, LeakageError> {
    let mut parameters = 0u64;
    let cut = |layer: &FrontLayer| {
        let values = layer.output(stage)?.iter().map(|&side| side as u64).product();
        parameters = parameters.saturating_add(layer_parameters(layer));
        Ok(CutCost {
            layer: layer.name.clone(),
            parameters,
            storage_bytes: parameters.saturating_mul(u64::from(model.bits_per_parameter)).div_ceil(8),
            values,
            transfer_ms: transfer_ms(values, model.bits_per_value, model.bits_per_second),
        })
    };
    layers.iter().map(cut).collect()
}

/// Milliseconds to send `values` of `bits_per_value` bits at `bits_per_second` bit/s; infinite at a
/// rate of 0.
#[must_use]
pub fn transfer_ms(values: u64, bits_per_value: u32, bits_per_second: f64) -> f64 {
    values as f64 * f64::from(bits_per_value) / bits_per_second * 1_000.0
}

fn layer_parameters(layer: &FrontLayer) -> u64 {
    let biases = match &layer.op {
        Op::Conv(conv) => conv.out_channels,
        Op::Linear(linear) => linear.out_features,
    };
    u64::try_from(layer.op.weight_count() + biases as u128).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, ConvShape, Pool};

    /// The convolutions of Table 1 on 224 × 224 pixels, each on the pooled output of the one
    /// before.
    fn alexnet(widths: &[usize]) -> Vec<FrontLayer> {
        let kernels = [(11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)];
        let (mut channels, mut side) = (3, 224);
        let mut layers = Vec::new();
        for (index, (&width, (n, s, p))) in widths.iter().zip(kernels).enumerate() {
            let shape = ConvShape::new([n; 2], [s; 2], [p; 2], [channels, width], [side; 2]);
            let mut layer =
                FrontLayer::new(format!("conv{}", index + 1), Op::Conv(shape)).with_activation(Activation::Relu);
            if [0, 1, 4].contains(&index) {
                layer = layer.with_pool(Pool { window: [3; 2], stride: [2; 2], padding: [0; 2] });
            }
            [channels, side, _] = layer.output(Stage::Pooled).unwrap();
            layers.push(layer);
        }
        layers
    }

    fn table(widths: &[usize], bits_per_value: u32) -> Vec<CutCost> {
        let model = CostModel { bits_per_value, ..CostModel::paper() };
        cost_table(&alexnet(widths), Stage::Activation, &model).unwrap()
    }

    #[test]
    fn table_4_is_the_running_sum_of_weights_and_biases_at_8_bytes() {
        let rows = table(&[64, 192, 384, 384, 256], STATED_BITS_PER_LINK);
        let parameters: Vec<_> = rows.iter().map(|row| row.parameters).collect();
        assert_eq!(parameters[..4], [23_296, 330_688, 994_624, 2_322_112]);
        assert_eq!(rows[0].storage_bytes, 182 * 1024);
        for (row, printed) in rows[1..].iter().zip([2.52, 7.59, 17.72]) {
            let mebibytes = row.storage_bytes as f64 / f64::from(1 << 20);
            assert!((mebibytes - printed).abs() < 0.005, "{mebibytes} against {printed}");
        }
    }

    #[test]
    fn table_5_prints_times_that_leave_out_the_8_bits_of_a_link() {
        let printed = table(&[64, 256, 384, 384], USED_BITS_PER_LINK);
        let links: Vec<_> = printed.iter().map(|row| row.values).collect();
        assert_eq!(links, [193_600, 186_624, 64_896, 64_896]);
        for (row, time) in printed.iter().zip([184.631, 177.979, 61.89, 61.89]) {
            assert!((row.transfer_ms - time).abs() < 0.001, "{} against {time}", row.transfer_ms);
        }
        let stated = table(&[64, 256, 384, 384], STATED_BITS_PER_LINK);
        let times: Vec<_> = stated.iter().map(|row| row.transfer_ms.round()).collect();
        assert_eq!(times, [1_477.0, 1_424.0, 495.0, 495.0]);
    }

    #[test]
    fn table_5_gives_links_of_256_kernels_in_its_second_row_and_bits_in_its_last_two() {
        let rows = table(&[64, 192, 384, 384], STATED_BITS_PER_LINK);
        assert_eq!(rows[1].values, 139_968);
        assert_eq!(rows[2].values * u64::from(STATED_BITS_PER_LINK), 519_168);
    }
}
