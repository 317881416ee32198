//! Emails as files: `<notification id>.eml`, whole or not there, and the same file again for a repeat.

use std::io;
use std::path::{Path, PathBuf};

use schema::ids::NotificationId;
use tokio::fs;

use super::SendError;

/// A folder that takes emails.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if need be and tries to write into it.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path).await?;
        let probe = path.join(".writable");
        fs::write(&probe, b"").await?;
        fs::remove_file(&probe).await?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes an email beside its place and moves it there: a reader never sees half of it.
    pub(super) async fn write(&self, id: NotificationId, email: &[u8]) -> Result<(), SendError> {
        let (part, whole) = (self.path.join(format!("{id}.part")), self.path.join(format!("{id}.eml")));
        let written = async {
            fs::write(&part, email).await?;
            fs::rename(&part, &whole).await
        };
        written.await.map_err(|error: io::Error| SendError::Unreachable(error.into()))
    }
}
