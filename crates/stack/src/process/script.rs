//! A launch as a shell's script, for people.

use std::ffi::OsStr;

use super::Launch;

impl Launch {
    /// Its name in logs and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lines for `sh` that run the program in this environment, with the arguments of the script.
    #[must_use]
    pub fn script(&self) -> String {
        let variables = self.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        variables.chain([format!("exec {} \"$@\"", quoted(self.program.as_os_str()))]).collect()
    }
}

/// A word of a shell's script.
#[must_use]
pub fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}
