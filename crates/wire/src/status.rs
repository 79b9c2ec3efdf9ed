/// How a server answered. The codes are part of the protocol and never change their meaning.
///
/// | code | name | meaning | may the client try again? |
/// |---|---|---|---|
/// | 0 | `Ok` | the payload holds the logits or a message | |
/// | 1 | `Busy` | all places are taken | yes, after `retry_after_ms` |
/// | 2 | `BadRequest` | the frame or the tensor breaks a rule | no, the same bytes will fail again |
/// | 3 | `UnknownModel` | no service of this name | no |
/// | 4 | `PairMismatch` | the back half belongs to another pair than the client's front half | no |
/// | 5 | `UnsupportedVersion` | the version ranges do not meet | no |
/// | 6 | `UnsupportedElement` | the service does not take this element type | no |
/// | 7 | `TooLarge` | the announced payload or batch is over the limit | no, send less |
/// | 8 | `Internal` | the service failed or panicked; its log says why | no |
/// | 9 | `ShuttingDown` | the server finishes what runs and takes nothing new | yes, elsewhere or later |
/// | 10 | `TimedOut` | the request did not arrive whole within the server's time | yes |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
#[allow(missing_docs)] // the table above says it once
pub enum Status {
    Ok = 0,
    Busy = 1,
    BadRequest = 2,
    UnknownModel = 3,
    PairMismatch = 4,
    UnsupportedVersion = 5,
    UnsupportedElement = 6,
    TooLarge = 7,
    Internal = 8,
    ShuttingDown = 9,
    TimedOut = 10,
}

impl Status {
    /// Every status, in the order of the codes.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Busy,
        Self::BadRequest,
        Self::UnknownModel,
        Self::PairMismatch,
        Self::UnsupportedVersion,
        Self::UnsupportedElement,
        Self::TooLarge,
        Self::Internal,
        Self::ShuttingDown,
        Self::TimedOut,
    ];

    /// The number that travels.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The status of a code; `None` for a code this version does not know.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether the same request may succeed later.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Busy | Self::ShuttingDown | Self::TimedOut)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?} ({})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn reordered_table_would_change_a_code() {
        for (code, status) in (0u16..).zip(Status::ALL) {
            assert_eq!(status.code(), code);
            assert_eq!(Status::from_code(code), Some(status));
        }
        assert_eq!(Status::from_code(11), None);
    }
}
