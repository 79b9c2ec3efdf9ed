//! End-to-end tests, fault tests and the rules on dependencies.
