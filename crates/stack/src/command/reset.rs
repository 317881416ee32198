//! `stack reset`: forget all data.

use std::fs;
use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Context;
use stack::home::Home;

/// Removes what `up` keeps; the servers in `.stack/dist` stay.
pub(crate) fn run(home: &Home) -> anyhow::Result<ExitCode> {
    let _lock = home.lock()?;
    let data = home.all_data();
    match fs::remove_dir_all(&data) {
        Ok(()) => println!("removed {}", data.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => println!("nothing to remove"),
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", data.display())),
    }
    Ok(ExitCode::SUCCESS)
}
