//! Devices by name.

use crate::Error;
use burn::tensor::{Device, FloatDType};

/// Names of the devices that this build has, the default first.
pub fn available_devices() -> Vec<&'static str> {
    [
        ("flex", cfg!(feature = "flex")),
        ("tch", cfg!(feature = "tch")),
        ("tch-cuda", cfg!(feature = "tch")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("cuda", cfg!(feature = "cuda")),
    ]
    .into_iter()
    .filter_map(|(name, built)| built.then_some(name))
    .collect()
}

/// The device called `name`.
///
/// # Errors
/// [`Error::Device`] when it was not compiled in.
#[cfg_attr(
    feature = "tch",
    expect(deprecated, reason = "burn-tch is the fastest device on a plain processor; 0.22 is pinned")
)]
pub fn device(name: &str) -> Result<Device, Error> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "tch")]
        "tch" => Ok(Device::libtorch()),
        #[cfg(feature = "tch")]
        "tch-cuda" => Ok(Device::libtorch_cuda(0)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        _ => Err(Error::Device { name: name.to_owned(), available: available_devices() }),
    }
}

/// Whether `device` computes with bfloat16, as [`Pass::half`](crate::Pass::half) asks of it. Processors do too, and most of
/// them gain nothing by it.
pub fn computes_half(device: &Device) -> bool {
    device.supports_dtype(FloatDType::BF16)
}
