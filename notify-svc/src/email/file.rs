//! Emails as files: `<notification id>.eml`, whole or not there, and the same file again for a repeat. They name customers:
//! nobody but this process's user may read them.

use std::io;
use std::path::{Path, PathBuf};

use schema::ids::NotificationId;
use tokio::fs::{self, DirBuilder, OpenOptions};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::send_error::SendError;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A folder that takes emails.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if need be and tries to write into it.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).await?;
        // A name of its own: several processes may start at once on one folder.
        let probe = path.join(format!(".writable-{}", Uuid::now_v7()));
        fs::write(&probe, b"").await?;
        fs::remove_file(&probe).await?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes an email beside its place and moves it there: a reader never sees half of it.
    pub(super) async fn write(&self, id: NotificationId, email: &[u8]) -> Result<(), SendError> {
        let (part, whole) = (self.path.join(format!("{id}.part")), self.path.join(format!("{id}.eml")));
        let written = async {
            // One that a crash left may have other rights.
            match fs::remove_file(&part).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&part).await?;
            file.write_all(email).await?;
            file.flush().await?;
            fs::rename(&part, &whole).await
        };
        written.await.map_err(|error: io::Error| SendError::Unreachable(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::try_join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn several_processes_may_open_one_folder_at_once() {
        let path = std::env::temp_dir().join(format!("mail-{}", Uuid::now_v7()));
        try_join_all((0..50).map(|_| Folder::open(&path))).await.unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        std::fs::remove_dir(&path).unwrap();
    }
}
