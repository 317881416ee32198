//! `stack env`: what gives a shell the verbs and the databases of the stack that runs.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, bail};
use stack::home::Home;

/// Prints it.
pub(crate) fn run(home: &Home) -> anyhow::Result<()> {
    if !home.is_up()? {
        bail!("the stack is not up: start it with `make up`, and leave it running");
    }
    let path = home.shell().join("env");
    match fs::read_to_string(&path) {
        Ok(script) => print!("{script}"),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("the stack is not up yet: wait for its table"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    Ok(())
}
