//! The page about personal data says where they are kept, and for how long.

use std::fs;
use std::process::Command;

use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use stack::testing::{Database, binary};
use stack::{Engine, both_engines};

/// The default of a setting, as the program's help has it.
fn default_of(program: &str, setting: &str) -> String {
    let help = Command::new(binary(program)).args(["run", "--help"]).env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, after) = help.split_once(&format!("[env: {setting}=")).unwrap_or_else(|| panic!("{program}: no {setting}"));
    let (_, default) = after.split_once("[default: ").unwrap();
    default.split_once(']').unwrap().0.to_owned()
}

both_engines! {
    async fn the_page_about_personal_data_names_every_table_and_the_programs_defaults(engine: Engine) {
        let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/personal-data.md")).unwrap();
        let quoted: Vec<_> = page.split('`').skip(1).step_by(2).collect();
        for definition in [&ORDERS, &NOTIFICATIONS, &PAYMENTS] {
            let database = Database::create(engine, definition).await;
            let tables = "SELECT CAST(table_name AS CHAR) FROM information_schema.tables
                          WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'";
            let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.admin_pool().await).await.unwrap();
            assert!(!tables.is_empty());
            for table in tables {
                assert!(quoted.contains(&table.as_str()), "the page does not name {table} of {}", definition.name);
            }
        }
        let settings = quoted.iter().filter_map(|text| {
            let (program, setting) = text.split_once(' ')?;
            let (setting, value) = setting.split_once('=')?;
            Some((program, setting, value))
        });
        let mut named = Vec::new();
        for (program, setting, value) in settings {
            assert_eq!(default_of(program, setting), value, "{program} {setting}");
            named.push(format!("{program} {setting}"));
        }
        let kept = [
            "outbox-relay RETENTION", "outbox-relay DISCARDED_RETENTION", "outbox-relay STREAM_MAX_AGE", "notify-svc EMAIL_RETENTION",
            "notify-svc NOTIFICATION_RETENTION", "notify-svc INBOX_RETENTION", "order-svc INBOX_RETENTION",
            "payment-svc INBOX_RETENTION", "payment-svc EFFECT_RETENTION",
        ];
        for setting in kept {
            assert!(named.iter().any(|name| name == setting), "the page does not name {setting}: {named:?}");
        }
    }
}
