//! Settings from flags and environment, checked as a whole before anything starts.
//!
//! Bad settings end the process with one line on standard error and [`EXIT_CONFIG`]; `--help` is true because the
//! doc comments of the fields are its text. A setting that hides its environment value is a secret: it may also come from
//! a file, which the variable of its name and `_FILE` names; only the verb that needs a secret reads its file. Who
//! connects with a secret reads its file again, so that a rotated password needs no restart.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser};

use crate::telemetry::{LogFormat, chain};
use crate::terminal::{complain, one_line};
use crate::{asked, exit, manual};

pub use crate::exit::{EXIT_CONFIG, EXIT_UNHEALTHY, Misconfigured};

/// How a process ends after what it was asked to do: an error goes to standard error in one line.
pub fn exit(done: anyhow::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        complain(&format!("error: {}", chain(error.as_ref())));
        exit::status(&error)
    })
}

/// Settings of every long-running process.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessConfig {
    /// Address of the admin port: /livez, /readyz, /metrics. Keep it away from the public.
    #[arg(long, env = "ADMIN_ADDR")]
    pub admin_addr: SocketAddr,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines appear, by level and target, for example info,outbox_relay=debug.
    #[arg(long, env = "LOG_FILTER", default_value = "info,async_nats=warn")]
    pub log_filter: String,

    /// How long a stop may take before the process gives up and exits 1.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "20s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

/// Refuses settings that are well-formed one by one but can't work together.
pub trait Validate {
    /// # Errors
    /// One line that names the settings and what to change.
    fn validate(&self) -> Result<(), String>;
}

/// Reads the command line and the environment.
///
/// # Errors
/// The status to exit with: success for what is answered here, such as `--help`, else [`EXIT_CONFIG`], after saying why.
pub fn parse<C: Parser + Validate>() -> Result<C, ExitCode> {
    let refuse = |reason: String| {
        complain(&format!("error: {reason}"));
        ExitCode::from(EXIT_CONFIG)
    };
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let (command, unread) = with_secret_files(manual::with_manual(C::command()), Some(&words));
    asked::note(&command, &words);
    let matches = command.clone().try_get_matches();
    if let Some(answered) = matches.as_ref().ok().and_then(|matches| manual::answer(command, matches)) {
        return Err(answered);
    }
    let parsed = matches.and_then(|matches| C::from_arg_matches(&matches));
    let is_question = |error: &clap::Error| matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if let Some(reason) = unread.filter(|_| !parsed.as_ref().is_err_and(is_question)) {
        return Err(refuse(reason));
    }
    let config = parsed.map_err(|mut error| {
        if error.kind() == ErrorKind::ValueValidation {
            // What follows is a hint at --help; the value may have line breaks of its own.
            let said = error.to_string();
            complain(said.split("\n\nFor more").next().unwrap_or_default().trim_end());
        } else {
            // Nothing useful is left to do if standard error is closed.
            shortened(&mut error).print().ok();
        }
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(EXIT_CONFIG),
        }
    })?;
    config.validate().map_err(refuse)?;
    Ok(config)
}

/// Cuts and escapes what was typed, which may be of any length and hold anything; no suggestion repeats it then.
fn shortened(error: &mut clap::Error) -> &clap::Error {
    let typed = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, text.clone(), one_line(text).chars().take(200).collect())),
        _ => None,
    });
    let changed: Vec<(_, String, String)> = typed.filter(|(_, text, shown)| text != shown).collect();
    for (kind, _, shown) in changed {
        error.insert(kind, ContextValue::String(shown));
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Lets each secret of the command and its verbs come from a file, and says so in its help. Only what is asked for, by
/// the words that follow the command, reads its files: the reason of the first that can't be used comes back beside it.
fn with_secret_files(command: Command, words: Option<&[OsString]>) -> (Command, Option<String>) {
    let mut unread = None;
    let command = command.mut_args(|arg| match arg.get_env().and_then(|name| name.to_str()) {
        Some(name) if arg.is_hide_env_values_set() => {
            let file = format!("{name}_FILE");
            let help = format!("{} [in a file: {file}]", arg.get_help().cloned().unwrap_or_default());
            let secret = if words.is_some() { secret_in_file(name, &file) } else { Ok(None) };
            let arg = arg.help(help);
            match secret {
                Ok(None) => arg,
                Ok(Some((secret, path))) => from_file(arg, secret, path.into()),
                Err(reason) => {
                    unread.get_or_insert(reason);
                    arg
                }
            }
        }
        _ => arg,
    });
    let command = command.mut_subcommands(|verb| {
        let asked = words.and_then(<[OsString]>::split_first).filter(|(word, _)| *word == verb.get_name());
        let (verb, reason) = with_secret_files(verb, asked.map(|(_, rest)| rest));
        unread = unread.take().or(reason);
        verb
    });
    (command, unread)
}

/// A flag goes before the file, as it goes before the environment.
fn from_file(arg: Arg, secret: String, path: Arc<Path>) -> Arg {
    let text = secret.clone();
    let parser = move |given: &str| {
        let file = (given == text).then(|| Arc::clone(&path));
        Ok::<_, Infallible>(Secret { text: given.to_owned(), file })
    };
    arg.default_value(secret).hide_default_value(true).required(false).value_parser(parser)
}

fn secret_in_file(name: &str, file: &str) -> Result<Option<(String, PathBuf)>, String> {
    let Some(path) = env::var_os(file).map(PathBuf::from) else { return Ok(None) };
    if env::var_os(name).is_some() {
        return Err(format!("{name} and {file} are both set: which one counts?"));
    }
    let secret = read_secret(&path).map_err(|reason| format!("{file}: {reason}"))?;
    Ok(Some((secret, path)))
}

fn read_secret(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(secret.to_owned())
}

/// Parses a duration such as `30s`, `5m` or `1h 30m`; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// Characters of a reason that the records keep.
const REASON_CHARS_MAX: usize = 1000;
/// Characters of a person's name that the records keep.
const ACTOR_CHARS_MAX: usize = 100;

/// Takes why a person does something, as a record keeps it; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
pub fn reason(text: &str) -> Result<String, String> {
    for_the_record("a reason", REASON_CHARS_MAX, text)
}

/// Takes who a person is, as a record keeps it; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
pub fn actor(text: &str) -> Result<String, String> {
    for_the_record("a name", ACTOR_CHARS_MAX, text)
}

/// Who the environment says that the person is.
pub(crate) fn user() -> Option<String> {
    env::var("USER").ok().and_then(|name| actor(&name).ok())
}

fn for_the_record(what: &str, chars_max: usize, text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > chars_max {
        return Err(format!("{what} has 1 to {chars_max} characters, not only spaces"));
    }
    Ok(text.to_owned())
}

/// A setting that may carry a password: it never prints.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Where it came from, if that can be read again.
    file: Option<Arc<Path>>,
}

impl Secret {
    /// What a file says.
    ///
    /// # Errors
    /// Why it can't be used; nothing of what is in it.
    pub fn in_file(path: &Path) -> Result<Self, String> {
        Ok(Self { text: read_secret(path)?, file: Some(path.into()) })
    }

    /// The text itself, as it was at the start, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The secret as its file has it now. A file that can't be read, perhaps because somebody writes it, counts as
    /// unchanged.
    #[must_use]
    pub fn read_again(&self) -> Self {
        let Some(file) = &self.file else { return self.clone() };
        match read_secret(file) {
            Ok(text) => Self { text, file: self.file.clone() },
            Err(reason) => {
                tracing::warn!(reason, "a secret can't be read again, going on with the one before");
                self.clone()
            }
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self { text, file: None }
    }
}

impl std::str::FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_fits_into_its_record() {
        for text in ["x", "  \u{e9}\n", &"\u{e9}".repeat(REASON_CHARS_MAX)] {
            assert_eq!(reason(text).unwrap(), text);
        }
        for text in ["", " \n", &"x".repeat(REASON_CHARS_MAX + 1)] {
            assert!(reason(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::from("mysql://order_svc:hunter2@db/orders".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
    }

    #[test]
    fn a_secret_is_what_its_file_says_now() {
        let path = env::temp_dir().join(format!("secret-{}", std::process::id()));
        fs::write(&path, "old").unwrap();
        let secret = Secret::in_file(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(secret.read_again().expose(), "old", "there is no file");
        for (text, now) in [("new\n", "new"), ("", "old")] {
            fs::write(&path, text).unwrap();
            assert_eq!(secret.read_again().expose(), now);
        }
        fs::remove_file(&path).unwrap();
    }
}
