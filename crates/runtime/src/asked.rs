//! What was asked of this process, for a record: the program, the verb and its arguments. No secret is in it, and no address.

use std::ffi::OsString;
use std::sync::OnceLock;

use clap::Command;

use crate::mask;

static ASKED: OnceLock<String> = OnceLock::new();

/// The words that [`note`] kept; empty before it was called.
pub fn asked() -> &'static str {
    ASKED.get().map_or("", String::as_str)
}

/// Keeps the words that follow the program on its command line, which is read once.
pub fn note(command: &Command, words: &[OsString]) {
    ASKED.get_or_init(|| mask::text(&without_secrets(command, words)));
}

fn without_secrets(command: &Command, words: &[OsString]) -> String {
    let mut flags = Vec::new();
    secret_flags(command, &mut flags);
    let mut asked = command.get_name().to_owned();
    let mut is_secret = false;
    for word in words.iter().map(|word| word.to_string_lossy()) {
        let (flag, value) = word.split_once('=').map_or((&*word, None), |(flag, value)| (flag, Some(value)));
        asked.push(' ');
        match (std::mem::take(&mut is_secret), flags.iter().any(|secret| secret == flag)) {
            (true, _) => asked.push_str("..."),
            (false, false) => asked.push_str(&word),
            (false, true) => {
                asked.push_str(flag);
                asked.push_str(value.map_or("", |_| "=..."));
                is_secret = value.is_none();
            }
        }
    }
    asked
}

/// Of the command and its verbs: what hides its value in the help.
fn secret_flags(command: &Command, flags: &mut Vec<String>) {
    let secrets = command.get_arguments().filter(|argument| argument.is_hide_env_values_set());
    flags.extend(secrets.filter_map(|argument| Some(format!("--{}", argument.get_long()?))));
    command.get_subcommands().for_each(|verb| secret_flags(verb, flags));
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn neither_a_secret_nor_an_address_is_in_what_was_asked() {
        let url = Arg::new("url").long("database-url").hide_env_values(true);
        let reason = Arg::new("reason").long("reason");
        let command = Command::new("notify-svc").subcommand(Command::new("list").args([url, reason]));
        let asked = |words: &[&str]| without_secrets(&command, &words.iter().map(OsString::from).collect::<Vec<_>>());
        let expected = "notify-svc list --database-url ... --reason a b";
        assert_eq!(asked(&["list", "--database-url", "mysql://u:p@h/d", "--reason", "a b"]), expected);
        let expected = "notify-svc list --database-url=... --reason=a=b c";
        assert_eq!(asked(&["list", "--database-url=mysql://u:p@h/d?a=b", "--reason=a=b", "c"]), expected);
        assert_eq!(asked(&["list", "--database-url"]), "notify-svc list --database-url");
        note(&command, &["list".into(), "grace@example.com".into()]);
        assert_eq!(super::asked(), "notify-svc list g***@example.com");
    }
}
