use schema::database::ORDERS;
use stack::testing::{Database, Engine, MySql, Nats};
use stack::{account, both_engines};

async fn count(database: &Database) -> i64 {
    let pool = database.admin_pool().await;
    sqlx::query_scalar("SELECT COUNT(*) FROM kept").fetch_one(&pool).await.unwrap()
}

both_engines! {
    async fn a_killed_database_server_comes_back_with_what_was_committed(engine: Engine) {
        let mut server = MySql::start(engine).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let pool = database.admin_pool().await;
        sqlx::query("CREATE TABLE kept (id INT PRIMARY KEY)").execute(&pool).await.unwrap();
        sqlx::query("INSERT INTO kept VALUES (1)").execute(&pool).await.unwrap();

        server.kill().await;
        account::connect(&database.admin_url()).await.unwrap_err();

        server.restart().await;
        assert_eq!(count(&database).await, 1);
    }

    async fn a_server_that_starts_leaves_the_temporary_tables_of_others_alone(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let pool = database.admin_pool().await;
        let mut session = pool.acquire().await.unwrap();
        sqlx::raw_sql("CREATE TEMPORARY TABLE mine (id INT) ENGINE = MyISAM").execute(&mut *session).await.unwrap();
        let _other = MySql::start(engine).await;
        sqlx::raw_sql("INSERT INTO mine VALUES (1); DROP TEMPORARY TABLE mine").execute(&mut *session).await.unwrap();
    }

    async fn a_commit_is_on_disk_and_times_are_utc(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let pool = orders.admin_pool().await;
        let settings: String = sqlx::query_scalar(
            "SELECT CONCAT_WS(' ', @@innodb_flush_log_at_trx_commit, @@sync_binlog, IF(@@log_bin, 1, 0), @@GLOBAL.time_zone)",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(settings, "1 1 1 +00:00");
    }
}

#[tokio::test]
async fn a_killed_nats_server_comes_back_with_what_it_acknowledged() {
    let mut nats = Nats::start().await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config { name: "KEPT".into(), ..Default::default() };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("KEPT", "one".into()).await.unwrap().await.unwrap();

    nats.kill().await;
    nats.restart().await;

    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = jetstream.get_stream("KEPT").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
}

#[tokio::test]
async fn a_nats_server_without_its_store_has_forgotten() {
    let mut nats = Nats::start().await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let config = async_nats::jetstream::stream::Config { name: "KEPT".into(), ..Default::default() };
    jetstream.create_stream(config).await.unwrap();

    nats.kill().await;
    std::fs::remove_dir_all(nats.store()).unwrap();
    nats.restart().await;

    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    jetstream.get_stream("KEPT").await.unwrap_err();
}
