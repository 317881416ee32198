//! A recipient has a bound of emails within an hour, which the database counts before each is sent.

use std::time::Duration;

use stack::smtp::{Fault, Stage};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::email_faults::{count, server, smtp_service, until, until_when_due};
use crate::setting::{Published, Setting};

const WAITS: &str = "state = 'pending' AND attempts = 0 AND last_error = 'the recipient gets at most 2 emails within an hour of the clock'";
const AT_MOST: &str = "state = 'pending' AND attempts = 0 AND last_error LIKE 'the recipient gets at most %'";
const PASSED: &str = "SELECT COUNT(*) FROM recipient_mails WHERE hour < UNIX_TIMESTAMP() DIV 3600";

impl Setting {
    /// Whoever has this address got two emails, within this hour and the next, in which the test may end, and within one that passed.
    async fn got_two(&self, address: &str) {
        let got = "INSERT INTO recipient_mails (hour, recipient, mails)
                   SELECT UNIX_TIMESTAMP() DIV 3600 + n, UNHEX(SHA2(?, 256)), 2
                   FROM (SELECT -3 AS n UNION SELECT 0 UNION SELECT 1) AS hours";
        sqlx::query(got).bind(address).execute(&self.pool).await.unwrap();
    }

    /// Nothing is sent to this address if the hour ends while the test runs.
    async fn is_full_in_the_next_hour(&self, address: &str) {
        let full = "INSERT INTO recipient_mails (hour, recipient, mails)
                    VALUES (UNIX_TIMESTAMP() DIV 3600 + 1, UNHEX(SHA2(?, 256)), 1000)";
        sqlx::query(full).bind(address).execute(&self.pool).await.unwrap();
    }

    async fn counted(&self) -> i64 {
        let counted = "SELECT CAST(COALESCE(SUM(mails), 0) AS SIGNED) FROM recipient_mails";
        sqlx::query_scalar(counted).fetch_one(&self.pool).await.unwrap()
    }

    async fn passed(&self) -> i64 {
        sqlx::query_scalar(PASSED).fetch_one(&self.pool).await.unwrap()
    }
}

both_engines! {
    async fn a_recipient_who_got_enough_emails_gets_the_next_ones_in_another_hour(engine: Engine) {
        let setting = Setting::new(engine).await;
        setting.got_two("ada@example.com").await;
        let server = server().await;
        let _service = smtp_service(&setting, &server).env("MAILS_PER_RECIPIENT_PER_HOUR", "2").start().await;
        let to = Published::created_by;
        setting.publish(&[&to("Ada@Example.com"), &to("ada@example.com"), &to("eve@example.com"), &to("Eve@example.com")]).await;
        until(&setting, WAITS, 2).await;
        until(&setting, "state = 'sent'", 2).await;
        assert_eq!(server.mails().len(), 2, "eve's");
        eventually("counts of hours that passed are purged", async || setting.passed().await == 0).await;

        sqlx::query("UPDATE recipient_mails SET hour = hour - 2 ORDER BY hour").execute(&setting.pool).await.unwrap();
        until_when_due(&setting, "state = 'sent'", 4).await;
        assert_eq!(server.mails().len(), 4);
    }

    async fn an_email_that_did_not_leave_is_not_counted(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        server.fail(Stage::Rcpt, Fault::Say("451 busy"));
        let _service = smtp_service(&setting, &server).env("MAILS_PER_RECIPIENT_PER_HOUR", "1").start().await;
        setting.publish(&[&Published::created_by("ada@example.com")]).await;
        until(&setting, "state = 'pending' AND attempts = 1", 1).await;
        assert_eq!(setting.counted().await, 0);
        server.heal();
        until_when_due(&setting, "state = 'sent'", 1).await;
        assert_eq!((setting.counted().await, server.mails().len()), (1, 1));
    }

    async fn an_email_of_which_nobody_knows_whether_it_was_taken_counts(engine: Engine) {
        let setting = Setting::new(engine).await;
        setting.is_full_in_the_next_hour("ada@example.com").await;
        let server = server().await;
        server.keep_silent_after_data(true);
        let _service = smtp_service(&setting, &server).env("MAILS_PER_RECIPIENT_PER_HOUR", "1").start().await;
        setting.publish(&[&Published::created_by("ada@example.com")]).await;
        until(&setting, "state = 'pending' AND attempts = 1 AND is_unknown = 1", 1).await;
        server.heal();
        let waits = "state = 'pending' AND attempts = 1 AND last_error LIKE 'the recipient gets at most 1 emails %'";
        until_when_due(&setting, waits, 1).await;
        assert_eq!(server.mails().len(), 1);
    }

    async fn two_replicas_and_a_slow_server_send_a_recipient_no_more_than_the_bound(engine: Engine) {
        let setting = Setting::new(engine).await;
        setting.is_full_in_the_next_hour("ada@example.com").await;
        let server = server().await;
        server.fail(Stage::Dot, Fault::Late(Duration::from_secs(1)));
        let replica = || smtp_service(&setting, &server).env("SMTP_FINAL_TIMEOUT", "30s").env("MAILS_PER_RECIPIENT_PER_HOUR", "3");
        let _services = [replica().start().await, replica().start().await];
        let orders: Vec<_> = (0..36).map(|_| Published::created_by("ada@example.com")).collect();
        setting.publish(&orders.iter().collect::<Vec<_>>()).await;
        until(&setting, &format!("(state = 'sent' OR {AT_MOST})"), 36).await;
        let sent = count(&setting, "state = 'sent'").await;
        assert!((1..=3).contains(&sent), "{sent} were sent");
        assert_eq!(i64::try_from(server.mails().len()).unwrap(), sent);
    }
}
