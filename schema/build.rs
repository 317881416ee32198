//! Tells cargo to rebuild when a migration is added.

fn main() {
    // `sqlx::migrate!` embeds the files; cargo does not see new ones by itself.
    for part in ["outbox", "inbox", "effect", "disclosure", "orders", "notifications", "payments"] {
        println!("cargo:rerun-if-changed={part}");
    }
}
