//! Products that have the simulator fail, each in one way. Any other product is paid for at once.
//!
//! What happens "at first" happens once for each intent, also if the process is killed meanwhile.

/// The bank says no.
pub const DECLINED: &str = "test-declined";
/// The money is taken after five seconds.
pub const SLOW: &str = "test-slow";
/// The money is taken, and the answer is lost at first.
pub const LOST: &str = "test-lost";
/// Nothing is taken at first, and nobody can tell.
pub const CUT: &str = "test-cut";
/// The provider refuses us at first.
pub const REFUSED: &str = "test-refused";
/// The provider asks us to wait for a second at first.
pub const THROTTLED: &str = "test-throttled";
/// The provider can't be reached at first.
pub const UNREACHABLE: &str = "test-unreachable";
/// The provider can't do this at all.
pub const INVALID: &str = "test-invalid";
/// The money is taken and can't be given back.
pub const REFUND_DECLINED: &str = "test-refund-declined";
/// The money is taken, and given back after five seconds.
pub const REFUND_SLOW: &str = "test-refund-slow";
/// The money is taken and given back, and the answer to that is lost at first.
pub const REFUND_LOST: &str = "test-refund-lost";
