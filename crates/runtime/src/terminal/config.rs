//! What the environment says of the terminal.

use std::env;

/// Whether colours are not wanted, by no-color.org, or the terminal knows none.
pub(super) fn no_color() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("NO_COLOR") || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}
