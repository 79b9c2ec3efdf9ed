//! Frames, limits, versions and status codes
