//! Datasets, image preparation, batches and a built-in generator
