//! One order as one trace, through the real programs, the tables and the broker, whatever breaks on its way.

use serde_json::{Value, json};
use stack::otlp::{Collector, Span};
use stack::testing::{Database, Nats, Port, TcpProxy, eventually};
use stack::{Engine, both_engines};

use crate::services::{Services, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const LOG_FILTER: &str = "info,order_svc=debug,outbox_relay=debug,inbox=debug";

/// The services with a proxy before NATS for each of the two that use it for more than hints.
struct World {
    services: Services,
    orders: Database,
    _notifications: Database,
    nats: Nats,
    relays: TcpProxy,
    notifiers: TcpProxy,
}

impl World {
    async fn start(engine: Engine, endpoint: &str) -> Self {
        let orders = Database::create(engine, &schema::database::ORDERS).await;
        let notifications = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let nats = Nats::start_with_accounts().await;
        let (relays, notifiers) = (TcpProxy::start(nats.port()).await, TcpProxy::start(nats.port()).await);
        let mut services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("{}=hunter2", Collector::KEY))
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("LOG_FILTER", LOG_FILTER);
        services.relay = services.relay.env("NATS_URL", url(&relays)).env("LOG_FORMAT", "json");
        services.notify_svc = services.notify_svc.env("NATS_URL", url(&notifiers)).env("LOG_FORMAT", "json");
        Self { services: services.start().await, orders, _notifications: notifications, nats, relays, notifiers }
    }

    /// Places an order in the client's trace.
    async fn place(&self) -> String {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let request = reqwest::Client::new().post(self.services.order_svc.url("/api/orders")).json(&order);
        let response = request.header("traceparent", format!("00-{TRACE}-{CLIENT}-01")).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Has the broker bring the first message again at once, and not when its ack wait has ended.
    async fn nak_first_delivery(&self) {
        let options = async_nats::ConnectOptions::with_user_and_password("notify-svc".into(), Nats::PASSWORD.into());
        let client = options.connect(self.nats.url()).await.unwrap();
        let subject = format!("$JS.ACK.{}.{}.1.1.1.0.0", schema::names::STREAM, schema::names::NOTIFY_DURABLE);
        client.publish(subject, "-NAK".into()).await.unwrap();
        client.flush().await.unwrap();
    }

    /// Whose traceparent the order's event carries in the outbox.
    async fn appended_by(&self) -> String {
        let headers: sqlx::types::Json<Value> =
            sqlx::query_scalar("SELECT headers FROM outbox").fetch_one(&self.orders.admin_pool().await).await.unwrap();
        headers["traceparent"].as_str().unwrap().to_owned()
    }
}

fn url(proxy: &TcpProxy) -> String {
    format!("nats://127.0.0.1:{}", proxy.port())
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The one span of this name, which has to be of this kind and below that span.
fn one<'a>(spans: &'a [Span], name: &str, kind: &str, parent_id: &str) -> &'a Span {
    let [span] = named(spans, name)[..] else { panic!("not one {name} in {spans:#?}") };
    assert_eq!((span.kind, &*span.parent_id), (kind, parent_id), "{span:#?}");
    span
}

both_engines! {
    async fn an_order_is_one_trace_across_a_cut_publish_and_a_redelivery(engine: Engine) {
        let collector = Collector::start().await.unwrap();
        let mut world = World::start(engine, &collector.url()).await;
        let named = |name: &str| named(&collector.trace(TRACE), name).len();

        // The publish is cut off before it arrives, and comes again.
        world.relays.cut_before(b"PUB order.created");
        world.notifiers.pause_before(b"+ACK");
        let order = world.place().await;
        world.relays.until_cut().await;
        eventually("the attempt that was cut off is told", async || named("publish order.created") == 1).await;
        world.relays.heal().await;

        // The notifier has committed, and dies before its ack arrives.
        world.notifiers.until_paused().await;
        eventually("the first processing is told", async || named("process order.created") == 1).await;
        world.services.notify_svc.kill().await;
        world.notifiers.cut().await;
        world.notifiers.heal().await;
        world.nak_first_delivery().await;
        world.services.notify_svc.restart().await;
        eventually("the redelivery is told", async || named("process order.created") == 2).await;
        world.services.until_notified(&order).await;
        eventually("the publish that arrived is told", async || {
            collector.trace(TRACE).iter().any(|span| !span.attribute("nats.stream.sequence").is_empty() && span.service == "outbox-relay")
        }).await;
        for service in world.services.each() {
            assert!(service.terminate().await.success());
        }
        assert_chain(&collector.trace(TRACE), &world.appended_by().await);

        for log in [&world.services.order_svc, &world.services.relay, &world.services.notify_svc].map(|it| it.log()) {
            assert!(log.contains(TRACE), "no line of the trace in {log}");
        }
        assert!(collector.keys().iter().all(|key| key == "hunter2"));
        assert!(!world.services.logs().contains("hunter2"));
    }
}

fn assert_chain(spans: &[Span], traceparent: &str) {
    let request = one(spans, "POST /api/orders", "SPAN_KIND_SERVER", CLIENT);
    assert_eq!(request.service, "order-svc");
    assert_eq!(request.attribute("http.response.status_code"), "201");
    let place = one(spans, "order.place", "SPAN_KIND_INTERNAL", &request.span_id);
    let append = one(spans, "append order.created", "SPAN_KIND_PRODUCER", &place.span_id);
    assert_eq!(traceparent, format!("00-{TRACE}-{}-01", append.span_id), "the row names the span that made it");

    let event_id = append.attribute("messaging.message.id");
    let publishes = named(spans, "publish order.created");
    assert!(publishes.iter().all(|it| it.service == "outbox-relay" && it.kind == "SPAN_KIND_CLIENT"));
    assert!(publishes.iter().all(|it| it.parent_id == append.span_id));
    assert!(publishes.iter().all(|it| it.attribute("messaging.message.id") == event_id));
    assert!(publishes[0].fault.is_some(), "{publishes:#?}");
    assert_eq!(publishes.iter().filter(|it| it.attribute("nats.stream.sequence") == "1").count(), 1, "{publishes:#?}");

    let processings = named(spans, "process order.created");
    assert!(processings.iter().all(|it| it.service == "notify-svc" && it.kind == "SPAN_KIND_CONSUMER"));
    assert!(processings.iter().all(|it| it.parent_id == append.span_id));
    assert!(processings.iter().all(|it| it.attribute("messaging.message.id") == event_id));
    let outcomes: Vec<_> = processings.iter().map(|it| it.attribute("inbox.outcome")).collect();
    assert_eq!(outcomes, ["first", "duplicate"]);
    let deliveries: Vec<u32> =
        processings.iter().map(|it| it.attribute("nats.consumer.deliveries").parse().unwrap()).collect();
    assert!(deliveries[0] == 1 && deliveries[1] > 1, "{deliveries:?}");
}

async fn goes_on_without(endpoint: &str) {
    let mut world = World::start(Engine::MySql, endpoint).await;
    let order = world.place().await;
    world.services.until_notified(&order).await;
    eventually("the lost spans are told", async || {
        world.services.order_svc.log().contains("the collector of traces takes no spans")
    })
    .await;
    for service in world.services.each() {
        assert!(service.terminate().await.success(), "{}", service.log());
    }
    let logs = world.services.order_svc.log();
    assert_eq!(logs.matches("they are lost until it does").count(), 1, "{logs}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let nobody = Port::reserve();
    goes_on_without(&format!("http://127.0.0.1:{}", nobody.number())).await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let collector = Collector::start().await.unwrap();
    let mut hanging = TcpProxy::start(collector.url().rsplit(':').next().unwrap().parse().unwrap()).await;
    hanging.pause().await;
    goes_on_without(&format!("http://127.0.0.1:{}", hanging.port())).await;
}

#[test]
fn a_variable_of_opentelemetry_that_can_not_work_is_refused_at_the_start() {
    let settings = [
        ("HTTP_ADDR", "127.0.0.1:1"),
        ("ADMIN_ADDR", "127.0.0.1:2"),
        ("DATABASE_URL", "mysql://u:p@127.0.0.1/d"),
        ("NATS_URL", "nats://127.0.0.1"),
        ("EMAIL_TRANSPORT", "log"),
        ("PAYMENT_PROVIDER", "simulated"),
        ("PAYMENT_SIMULATOR_DIR", "/tmp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ];
    for program in stack::service::Program::ALL {
        let refused = run(program.file(), &["run"], &settings);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{program:?}: {said}");
        assert!(said.starts_with("error: OTEL_TRACES_SAMPLER \"sometimes\""), "{program:?}: {said}");
    }
}
