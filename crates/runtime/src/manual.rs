//! The verbs `completions` and `man` of every program, made of its own command line: so they are true.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;

use crate::exit::{EXIT_NOT_FOUND, HELP};
use crate::terminal::complain;

const COMPLETIONS: &str = "completions";
const MAN: &str = "man";

/// The command line with both verbs, and with what its exit statuses mean in each help.
#[must_use]
pub fn with_manual(command: Command) -> Command {
    let completions = Command::new(COMPLETIONS)
        .about("Print what gives a shell completions, such as `source <(PROGRAM completions bash)`")
        .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell)).help("The shell"));
    let man = Command::new(MAN)
        .about("Print the manual page of the program or of a verb, for `man -l -`")
        .arg(Arg::new("verb").action(ArgAction::Append).num_args(0..).help("The verb, such as `event requeue`"));
    explained(command.subcommand(completions).subcommand(man))
}

fn explained(command: Command) -> Command {
    command.after_help(HELP).mut_subcommands(explained)
}

/// Answers one of the two verbs; none if another was called.
pub fn answer(mut command: Command, matches: &ArgMatches) -> Option<ExitCode> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    match matches.subcommand()? {
        (COMPLETIONS, asked) => {
            clap_complete::generate(*asked.get_one::<Shell>("shell")?, &mut command, name, &mut text);
        }
        (MAN, asked) => {
            command.build();
            let words: Vec<&String> = asked.get_many("verb").into_iter().flatten().collect();
            let Some(verb) = words.iter().try_fold(&command, |verb, word| verb.find_subcommand(word)) else {
                complain("error: there is no such verb");
                return Some(ExitCode::from(EXIT_NOT_FOUND));
            };
            if let Err(error) = clap_mangen::Man::new(verb.clone()).render(&mut text) {
                complain(&format!("error: writing the page: {error}"));
                return Some(ExitCode::FAILURE);
            }
        }
        _ => return None,
    }
    // Whoever closes the pipe has read enough.
    Some(match io::stdout().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}
