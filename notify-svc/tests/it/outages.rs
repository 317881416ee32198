//! The database and the broker go away and come back; the service stays, and no message is lost, burned or repeated.

use std::time::{Duration, Instant};

use runtime::mysql::STATEMENT_TIME_MAX;
use stack::testing::{MySql, Service, TcpProxy, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, get, stat};

/// The service, not started, that reaches its database by way of a proxy.
fn service_behind(setting: &Setting, proxy: &TcpProxy) -> Service {
    setting.service().env("DATABASE_URL", setting.database.url_through("notify_svc", proxy.port()))
}

async fn until_last_error(service: &Service, code: &str) {
    eventually(&format!("the status says {code}"), async || {
        get(service, "/api/events/status").await["last_error"]["code"] == code
    })
    .await;
}

async fn readyz(service: &Service) -> (u16, String) {
    let answer = reqwest::get(service.admin_url("/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

both_engines! {
    async fn a_database_that_refuses_effects_is_told_by_readiness_and_the_api_goes_on(engine: Engine) {
        let server = MySql::start(engine).await;
        let setting = Setting::on(&server).await;
        let service = setting.service().start().await;
        sqlx::query("REVOKE INSERT ON notifications FROM 'notify_svc'@'%'").execute(&setting.pool).await.unwrap();
        setting.publish(&[&Published::created()]).await;
        eventually("it is told", async || {
            let (status, said) = readyz(&service).await;
            status == 200 && said.contains("\ndatabase-refuses: ") && said.contains("schema/grants")
        })
        .await;
        get(&service, "/api/events/status").await;
        sqlx::query("GRANT INSERT ON notifications TO 'notify_svc'@'%'").execute(&setting.pool).await.unwrap();
        setting.until_count("notifications", 1).await;
        eventually("it is told no more", async || readyz(&service).await == (200, "ready\n".to_owned())).await;
    }

    async fn a_database_outage_burns_no_message(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let service = service_behind(&setting, &to_database).start().await;
        to_database.cut().await;
        let events: Vec<_> = (0..20).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        until_last_error(&service, "database-unavailable").await;
        to_database.heal().await;
        setting.until_count("notifications", 20).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("inbox_dead").await, 0);
        assert_eq!((stat(&service, "processed").await, stat(&service, "naks").await), (20, 0));
        assert_eq!(stat(&service, "redelivered").await, 0, "the messages were held, not sent back");
    }

    async fn an_outage_beyond_the_ack_wait_delivers_nothing_again(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let service = service_behind(&setting, &to_database).env("ACK_WAIT", "20s").start().await;
        to_database.cut().await;
        setting.publish(&[&Published::created()]).await;
        until_last_error(&service, "database-unavailable").await;
        // These arrive behind the one that is held.
        let behind: Vec<_> = (0..20).map(|_| Published::created()).collect();
        setting.publish(&behind.iter().collect::<Vec<_>>()).await;
        // An attempt takes as long as the pool waits for a connection: three seconds.
        let attempts = || service.log().matches("database fault, trying again").count();
        let before = attempts();
        eventually_within(Duration::from_secs(90), "the ack wait has passed", async || attempts() > before + 8).await;
        to_database.heal().await;
        setting.until_count("notifications", 21).await;
        setting.until_all_answered().await;
        assert_eq!((stat(&service, "redelivered").await, stat(&service, "duplicates").await), (0, 0));
    }

    async fn a_database_that_hangs_is_given_up_and_tried_again(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let service = service_behind(&setting, &to_database).start().await;
        to_database.pause().await;
        setting.publish(&[&Published::created()]).await;
        until_last_error(&service, "database-unavailable").await;
        to_database.heal().await;
        setting.until_count("notifications", 1).await;
        setting.until_all_answered().await;
        assert_eq!(stat(&service, "dead").await, 0);
    }

    async fn connections_that_fell_silent_are_given_up(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let service = service_behind(&setting, &to_database).env("DATABASE_CONNECTIONS_MAX", "1");
        let _service = service.start().await;
        setting.publish(&[&Published::created()]).await;
        let sent = async || {
            let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM notifications WHERE sent_at IS NOT NULL");
            query.fetch_one(&setting.pool).await.unwrap()
        };
        eventually("an email is sent", async || sent().await == 1).await;
        to_database.lose().await;
        setting.publish(&[&Published::created()]).await;
        eventually_within(STATEMENT_TIME_MAX * 4, "another one is sent", async || sent().await == 2).await;
        setting.until_all_answered().await;
    }

    async fn a_stop_gives_back_what_it_holds(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let mut service = service_behind(&setting, &to_database).start().await;
        to_database.cut().await;
        setting.publish(&[&Published::created()]).await;
        until_last_error(&service, "database-unavailable").await;
        assert!(service.terminate().await.success());
        let stopped = Instant::now();
        let _other = setting.service().start().await;
        setting.until_count("notifications", 1).await;
        assert!(stopped.elapsed() < Duration::from_secs(15), "nobody waited for the ack wait of 30 s");
    }
}

#[tokio::test]
async fn a_broker_restart_needs_no_restart_of_the_service() {
    let mut setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    setting.publish(&[&Published::created()]).await;
    setting.until_count("notifications", 1).await;
    setting.nats.stop().await;
    until_last_error(&service, "broker-unreachable").await;
    assert_eq!(get(&service, "/api/events/status").await["connection"], "disconnected");
    setting.nats.restart().await;
    setting.publish(&[&Published::created()]).await;
    setting.until_count("notifications", 2).await;
    setting.nats.kill().await;
    setting.nats.restart().await;
    setting.publish(&[&Published::created()]).await;
    setting.until_count("notifications", 3).await;
    assert_eq!(get(&service, "/api/events/status").await["connection"], "connected");
    assert_eq!(stat(&service, "processed").await, 3);
}

/// What the next process sees tells how the last one stopped.
#[tokio::test]
async fn a_stop_under_load_leaves_no_wait_and_no_duplicate_to_the_next_process() {
    let setting = Setting::new(Engine::MySql).await;
    let mut service = setting.service().env("BATCH_SIZE_MAX", "20").env("EMAIL_TRANSPORT", "log").start().await;
    let events: Vec<_> = (0..2000).map(|_| Published::created()).collect();
    let (first, rest) = events.split_at(500);
    setting.publish(&first.iter().collect::<Vec<_>>()).await;
    let publishing = async { setting.publish(&rest.iter().collect::<Vec<_>>()).await };
    let stopping = async {
        eventually("it is at work", async || stat(&service, "processed").await > 100).await;
        assert!(service.terminate().await.success());
    };
    tokio::join!(publishing, stopping);
    let before = setting.count("notifications").await;
    assert!(before < 2000, "it was stopped in the middle");
    let stopped = Instant::now();
    service.restart().await;
    setting.until_count("notifications", 2000).await;
    setting.until_all_answered().await;
    assert!(stopped.elapsed() < Duration::from_secs(20), "nobody waited for the ack wait of 30 s");
    assert_eq!(stat(&service, "duplicates").await, 0, "all acknowledgements of the last process arrived");
    assert_eq!(i64::try_from(stat(&service, "processed").await).unwrap(), 2000 - before);
}
