//! `effect` when it is taken back: by the service that wanted it, or because a person knows what became of it.

use runtime::mysql::Transaction;
use schema::ids::EffectId;

use crate::effect::Withdrawal;

/// Takes an effect back that has not happened and is not happening, tried before or not. Locks its row: the transaction's
/// other locks come first, as those of a conclusion do.
///
/// # Errors
/// As the database has it.
pub async fn withdraw(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Withdrawal> {
    let found =
        sqlx::query!(r#"SELECT state, is_unknown AS "is_unknown: bool" FROM effect WHERE id = ? FOR UPDATE"#, id,);
    // One that ended long ago may have been purged.
    let Some(found) = found.fetch_optional(&mut **tx).await? else { return Ok(Withdrawal::Ended) };
    match found.state.as_str() {
        "pending" | "dead" | "discarded" if found.is_unknown => return Ok(Withdrawal::MayHappen),
        "pending" | "dead" | "discarded" => {}
        _ => return Ok(Withdrawal::Ended),
    }
    sqlx::query!("UPDATE effect SET state = 'withdrawn', ended_at = UTC_TIMESTAMP(6) WHERE id = ?", id)
        .execute(&mut **tx)
        .await?;
    Ok(Withdrawal::Withdrawn)
}

/// Ends an effect of which a person knows what became of it, whether or not it may have happened: it is never performed again.
/// Not if a process performs it: [`Withdrawal::MayHappen`]. Locks its row; the transaction's other locks come first.
///
/// # Errors
/// As the database has it.
pub async fn end(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Withdrawal> {
    let found = sqlx::query!(
        r#"SELECT state, claimed_by IS NOT NULL AS "is_under_way!: bool" FROM effect WHERE id = ? FOR UPDATE"#,
        id,
    );
    // One that ended long ago may have been purged.
    let Some(found) = found.fetch_optional(&mut **tx).await? else { return Ok(Withdrawal::Ended) };
    match (found.state.as_str(), found.is_under_way) {
        ("pending", true) => return Ok(Withdrawal::MayHappen),
        ("pending" | "dead" | "discarded", _) => {}
        _ => return Ok(Withdrawal::Ended),
    }
    sqlx::query!("UPDATE effect SET state = 'withdrawn', ended_at = UTC_TIMESTAMP(6) WHERE id = ?", id)
        .execute(&mut **tx)
        .await?;
    Ok(Withdrawal::Withdrawn)
}
