//! What a database server says when it can't do its work: the real server says it, by a trigger.

use sqlx::{AssertSqlSafe, MySqlPool};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::pipeline::Pipeline;

/// Errors that have passed by themselves somewhere: full disks and tables, memory, threads, limits, packets, timeouts, logs,
/// clusters. The last one is of no server: whatever is not known is waited for, too.
const PASSING: [u16; 56] = [
    1020, 1021, 1022, 1023, 1024, 1026, 1028, 1030, 1032, 1034, 1036, 1037, 1038, 1040, 1041, 1053, 1078, 1080, 1105,
    1114, 1119, 1135, 1153, 1158, 1159, 1160, 1161, 1180, 1184, 1194, 1196, 1197, 1203, 1205, 1206, 1213, 1223, 1226,
    1290, 1296, 1297, 1317, 1461, 1568, 1614, 1615, 1637, 1665, 1689, 1792, 1836, 1927, 1969, 3024, 3572, 9999,
];

/// Lets the server refuse each row that `when` it does to `table` with the error of the table `fault`, if there is one. 1022
/// comes with the class that servers give it, of values that the schema refuses.
async fn trap(admin: &MySqlPool, table: &str, event: &str, faults: &str) {
    let trigger = format!(
        "CREATE TRIGGER trap BEFORE {event} ON {table} FOR EACH ROW
         BEGIN
             DECLARE number INT;
             SELECT MAX(n) INTO number FROM {faults}.fault;
             IF number = 1022 THEN
                 SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1022, MESSAGE_TEXT = 'on purpose';
             ELSEIF number IS NOT NULL THEN
                 SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = number, MESSAGE_TEXT = 'on purpose';
             END IF;
         END"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(admin).await.unwrap();
}

async fn set(admin: &MySqlPool, fault: Option<u16>) {
    let statement =
        fault.map_or("DELETE FROM fault".to_owned(), |number| format!("REPLACE INTO fault VALUES (1, {number})"));
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await.unwrap();
}

const TABLE: &str = "CREATE TABLE fault (id INT PRIMARY KEY, n INT NOT NULL)";

both_engines! {
    async fn whatever_the_server_says_of_itself_is_503_and_says_when_to_come_back(engine: Engine) {
        let pipeline = Pipeline::start(engine).await;
        let admin = pipeline.orders.admin_pool().await;
        sqlx::raw_sql(TABLE).execute(&admin).await.unwrap();
        trap(&admin, "orders", "INSERT", pipeline.orders.name()).await;
        let url = pipeline.services.order_svc.url("/api/orders");
        let order = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;
        for number in PASSING {
            set(&admin, Some(number)).await;
            let request = reqwest::Client::new().post(&url).header("content-type", "application/json").body(order);
            let answer = request.send().await.unwrap();
            let says_when = answer.headers().contains_key("retry-after");
            assert_eq!((answer.status().as_u16(), says_when), (503, true), "{number}");
        }
        for number in [1054, 1064, 1142, 1143, 1146, 1227, 1364] {
            set(&admin, Some(number)).await;
            let request = reqwest::Client::new().post(&url).header("content-type", "application/json").body(order);
            assert_eq!(request.send().await.unwrap().status().as_u16(), 500, "{number}: waiting is of no use");
        }
        set(&admin, None).await;
        pipeline.services.place().await;
    }

    async fn whatever_the_server_says_of_itself_is_waited_for(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let (orders, notifications) = (pipeline.orders.admin_pool().await, pipeline.notifications.admin_pool().await);
        sqlx::raw_sql(TABLE).execute(&orders).await.unwrap();
        trap(&orders, "outbox", "UPDATE", pipeline.orders.name()).await;
        trap(&notifications, "inbox", "INSERT", pipeline.orders.name()).await;
        set(&orders, Some(PASSING[0])).await;
        let order = pipeline.services.place().await;
        for number in [1021, 1028, 1030, 1114, 1135, 1153, 1159, 1461, 1615, 1665, 1969, 3024, 9999] {
            set(&orders, Some(number)).await;
            eventually("relay and notify-svc meet it and go on", async || {
                let said = format!("{number} (HY000)");
                let services = &pipeline.services;
                [&services.relay, &services.notify_svc].iter().all(|service| service.log().contains(&said))
            })
            .await;
        }
        set(&orders, None).await;
        pipeline.services.until_notified(&order).await;
        eventually("the event is settled", async || {
            let pending = "SELECT COUNT(*) FROM outbox WHERE state <> 'published'";
            sqlx::query_scalar::<_, i64>(pending).fetch_one(&orders).await.unwrap() == 0
        })
        .await;
        for service in pipeline.services.each() {
            assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
        }
    }
}
