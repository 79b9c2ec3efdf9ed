//! What counting and linear algebra say about a cut
