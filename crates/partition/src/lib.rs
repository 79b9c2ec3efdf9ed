//! Cutting a network into a front half and a back half
