//! A recipient has a bound of emails within an hour, which the database counts.

use stack::smtp::{Fault, Stage};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::email_faults::{all_due, count, server, smtp_service, until};
use crate::setting::{Published, Setting};

const WAITS: &str = "state = 'pending' AND attempts = 0 AND last_error = 'the recipient got 2 emails within this hour'";
const PASSED: &str = "SELECT COUNT(*) FROM recipient_mails WHERE hour < UNIX_TIMESTAMP() DIV 3600";

impl Setting {
    /// Whoever has this address got two emails, within this hour and the next, in which the test may end, and within one that passed.
    async fn got_two(&self, address: &str) {
        let got = "INSERT INTO recipient_mails (hour, recipient, mails)
                   SELECT UNIX_TIMESTAMP() DIV 3600 + n, UNHEX(SHA2(?, 256)), 2
                   FROM (SELECT -3 AS n UNION SELECT 0 UNION SELECT 1) AS hours";
        sqlx::query(got).bind(address).execute(&self.pool).await.unwrap();
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
        eventually("they are sent", async || {
            all_due(&setting).await;
            count(&setting, "state = 'sent'").await == 4
        })
        .await;
        assert_eq!(server.mails().len(), 4);
    }

    async fn an_email_that_did_not_leave_is_not_counted(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        server.fail(Stage::Rcpt, Fault::Say("451 busy"));
        let _service = smtp_service(&setting, &server).env("MAILS_PER_RECIPIENT_PER_HOUR", "1").start().await;
        setting.publish(&[&Published::created_by("ada@example.com")]).await;
        until(&setting, "state = 'pending' AND attempts = 1", 1).await;
        assert_eq!(setting.count("recipient_mails").await, 0);
        server.heal();
        eventually("it is sent", async || {
            all_due(&setting).await;
            count(&setting, "state = 'sent'").await == 1
        })
        .await;
        assert_eq!(setting.count("recipient_mails").await, 1);
    }
}
