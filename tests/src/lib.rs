//! End-to-end tests, fault tests and the rules on dependencies; and what the fuzz targets do with bytes.

#![forbid(unsafe_code)]

pub mod decoders;
