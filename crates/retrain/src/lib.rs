//! Secret signals, relabelling and training loops
