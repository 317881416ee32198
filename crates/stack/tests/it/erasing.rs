//! A customer who is erased: their address is nowhere any more, and nothing brings it back.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::testing::{Database, eventually};
use stack::{Engine, both_engines};

use crate::pipeline::Pipeline;
use crate::services::{Services, run};

/// Nobody's but hers.
const MARK: &str = "grace.hopper";
const GRACE: &str = "grace.hopper@example.org";

/// The columns, of all tables of a database, in which the address is.
async fn columns_with_it(admin: &MySqlPool) -> Vec<String> {
    let columns = "SELECT CAST(c.table_name AS CHAR), CAST(c.column_name AS CHAR)
                   FROM information_schema.columns AS c
                   JOIN information_schema.tables AS t USING (table_schema, table_name)
                   WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'
                   ORDER BY 1, 2";
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(admin).await.unwrap();
    assert!(columns.len() > 50, "{columns:?}");
    let mut found = Vec::new();
    for (table, column) in columns {
        let rows = format!("SELECT COUNT(*) FROM `{table}` WHERE CAST(`{column}` AS CHAR) LIKE '%{MARK}%'");
        if sqlx::query_scalar::<_, i64>(AssertSqlSafe(rows)).fetch_one(admin).await.unwrap() > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    found
}

impl Pipeline {
    /// Everything in the stream that has the address, headers included.
    async fn messages_with_it(&self) -> Vec<u64> {
        let mut stream = self.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut found = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let whole = format!("{:?} {}", message.headers, String::from_utf8_lossy(&message.payload));
            if whole.contains(MARK) {
                found.push(sequence);
            }
        }
        assert!(last > 0);
        found
    }

    async fn place_for(&self, email: &str) -> String {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": email });
        let answer = reqwest::Client::new().post(self.services.order_svc.url("/api/orders")).json(&order).send().await;
        answer.unwrap().json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn customer(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let url = self.orders.url("orders_operator");
        let arguments = [&["customer"], arguments, &["--reason", "she asked for it"]].concat();
        let output = run("order-svc", &arguments, &[("DATABASE_URL", url.as_str()), ("USER", "eve")]);
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

both_engines! {
    async fn an_erased_customers_address_is_nowhere_and_a_replay_brings_no_email(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let (hers, _) = (pipeline.place_for(GRACE).await, pipeline.services.place().await);
        let cancel = pipeline.services.order_svc.url(&format!("/api/orders/{hers}/cancel"));
        assert_eq!(reqwest::Client::new().post(cancel).send().await.unwrap().status(), 200);
        eventually("the emails are there", async || pipeline.services.emails().len() == 3).await;
        let (orders, notifications) = (pipeline.orders.admin_pool().await, pipeline.notifications.admin_pool().await);
        assert_eq!(columns_with_it(&orders).await, ["orders.email", "orders.email_lower"], "where it is before");

        let (status, exported) = pipeline.customer(&["export", "--email", GRACE]);
        assert_eq!(status, Some(0), "{exported}");
        let exported: Value = serde_json::from_str(&exported).unwrap();
        let order = &exported["orders"][0];
        assert_eq!((&order["id"], &order["email"], exported["orders"].as_array().unwrap().len()), (&json!(hers), &json!(GRACE), 1));
        assert_eq!(order["events"].as_array().unwrap().len(), 2);

        // Their spelling of it is another than the order's.
        let (status, said) = pipeline.customer(&["erase", "--email", &GRACE.to_uppercase()]);
        assert!(status == Some(0) && said.starts_with("1 orders erased") && !said.contains(MARK), "{said}");
        assert_eq!(pipeline.customer(&["erase", "--email", GRACE]).0, Some(3));
        let nowhere: [String; 0] = [];
        assert_eq!([columns_with_it(&orders).await, columns_with_it(&notifications).await].concat(), nowhere);

        // Somebody loses the stream and what notify-svc knew: all comes again.
        pipeline.services.notify_svc.kill().await;
        pipeline.jetstream().await.delete_stream(schema::names::STREAM).await.unwrap();
        let fresh = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let again = Services::new(|user| pipeline.orders.url(user), |user| fresh.url(user), &pipeline.nats.url());
        let again = again.env("ORDERS_URL", &pipeline.services.order_svc.url("")).start_notifier().await;
        let (admin, replay) = (fresh.admin_pool().await, ["event", "replay", "--aggregate", &format!("order/{hers}")]);
        let ended = "SELECT CAST(SUM(suppressed = 'erased') AS SIGNED), CAST(SUM(sent_at IS NOT NULL) AS SIGNED) FROM notifications";
        let ended = async || sqlx::query_as::<_, (Option<i64>, Option<i64>)>(ended).fetch_one(&admin).await.unwrap();
        eventually("hers are held back, and the other one's is sent", async || ended().await == (Some(2), Some(1))).await;
        let (url, nats) = (pipeline.orders.url("orders_operator"), pipeline.nats.url());
        let environment = [
            ("DATABASE_URL", url.as_str()), ("NATS_URL", &nats), ("NATS_USER", "outbox-relay"), ("NATS_PASSWORD", stack::testing::Nats::PASSWORD),
        ];
        let replayed = run("outbox-relay", &replay, &environment);
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
        eventually("what was replayed is read", async || {
            let mut consumer = pipeline.jetstream().await.get_stream(schema::names::STREAM).await.unwrap()
                .get_consumer::<async_nats::jetstream::consumer::pull::Config>(schema::names::NOTIFY_DURABLE).await.unwrap();
            let info = consumer.info().await.unwrap();
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
        assert_eq!(ended().await, (Some(2), Some(1)));
        assert_eq!(again.emails().len(), 1);
        let databases = [&orders, &notifications, &admin];
        for database in databases {
            assert_eq!(columns_with_it(database).await, nowhere);
        }
        assert_eq!(pipeline.messages_with_it().await, [0_u64; 0]);
        let logs = [pipeline.services.logs(), again.notify_svc.log()].concat();
        assert!(!logs.contains(MARK), "{logs}");
    }
}
