//! What can go wrong with a page.

/// Errors of the report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// One verdict for each cut.
    #[error("the audit has {cuts} entries and {got} verdicts were given; judge every entry, in the audit's order")]
    Verdicts {
        /// Entries of [`Audit::cuts`](crate::Audit::cuts).
        cuts: usize,
        /// Verdicts given.
        got: usize,
    },
    /// A chart could not be drawn.
    #[error("the chart {chart:?} of the report could not be drawn; please report this together with the record")]
    Drawing {
        /// Its title.
        chart: String,
        /// What the drawing library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
