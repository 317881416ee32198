//! `disclosure`: who had a verb print personal data. The statement is not described in `.sqlx`: what describes statements is built
//! of this crate.

use crate::mysql::Pool;

/// Characters of the column `verb`.
const VERB_CHARS_MAX: usize = 1000;

/// Adds a row; what does not fit of the verb's arguments is left out. Locks nothing.
///
/// # Errors
/// Any fault, such as a right that the user lacks.
pub(crate) async fn record(pool: &Pool, actor: &str, verb: &str) -> sqlx::Result<()> {
    let verb: String = verb.chars().take(VERB_CHARS_MAX).collect();
    sqlx::query("INSERT INTO disclosure (actor, verb) VALUES (?, ?)").bind(actor).bind(verb).execute(pool).await?;
    Ok(())
}
