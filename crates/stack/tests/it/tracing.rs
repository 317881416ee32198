//! One order as one trace, through the real programs, the tables and the broker, whatever breaks on its way.

use serde_json::{Value, json};
use stack::otlp::{Collector, Span};
use stack::testing::{Database, Nats, Port, Service, TcpProxy, eventually};
use stack::{Engine, both_engines};
use tempfile::TempDir;

use crate::services::{Services, paying, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const CANCELLER: &str = "b7ad6b7169203331";
const LOG_FILTER: &str = "info,order_svc=debug,outbox_relay=debug,inbox=debug";
/// Whose refund is given, and the answer to it lost at first.
const PRODUCT: &str = "test-refund-lost";

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
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        let mut services = settings(endpoint).iter().fold(services, |it, (name, value)| it.env(name, value));
        services.relay = services.relay.env("NATS_URL", url(&relays)).env("LOG_FORMAT", "json");
        services.notify_svc = services.notify_svc.env("NATS_URL", url(&notifiers)).env("LOG_FORMAT", "json");
        Self { services: services.start().await, orders, _notifications: notifications, nats, relays, notifiers }
    }

    /// Places an order in the client's trace.
    async fn place(&self) -> String {
        let order = json!({ "product": PRODUCT, "quantity": 2, "email": "ada@example.com" });
        let answer = self.post("/api/orders", CLIENT, &order).await;
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Asks order-svc for something below a span of the client.
    async fn post(&self, path: &str, parent: &str, body: &Value) -> Value {
        let request = reqwest::Client::new().post(self.services.order_svc.url(path)).json(body);
        let response = request.header("traceparent", format!("00-{TRACE}-{parent}-01")).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        response.json().await.unwrap()
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
        let headers: sqlx::types::Json<Value> = sqlx::query_scalar("SELECT headers FROM outbox ORDER BY seq LIMIT 1")
            .fetch_one(&self.orders.admin_pool().await)
            .await
            .unwrap();
        headers["traceparent"].as_str().unwrap().to_owned()
    }
}

/// The relay of the payments, and payment-svc, which does not run yet.
struct Paying {
    relay: Service,
    payment_svc: Service,
    _payments: Database,
    _provider: TempDir,
}

impl Paying {
    async fn start(engine: Engine, nats: &Nats, endpoint: &str) -> Self {
        let provider = tempfile::tempdir().unwrap();
        let payments = Database::create(engine, &schema::database::PAYMENTS).await;
        let [mut relay, payment_svc] = paying(&payments, nats, provider.path())
            .map(|service| settings(endpoint).iter().fold(service, |it, (name, value)| it.env(name, value)));
        relay.spawn();
        relay.until_ready().await;
        Self { relay, payment_svc, _payments: payments, _provider: provider }
    }
}

fn settings(endpoint: &str) -> [(&'static str, String); 6] {
    [
        ("PAYMENTS_STREAM", schema::names::PAYMENTS_STREAM.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("{}=hunter2", Collector::KEY)),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ("LOG_FILTER", LOG_FILTER.to_owned()),
    ]
}

fn url(proxy: &TcpProxy) -> String {
    format!("nats://127.0.0.1:{}", proxy.port())
}

fn named<'a>(spans: &'a [Span], service: &str, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name && span.service == service).collect()
}

/// The one span of this name, which has to be of this kind and below that span.
fn one<'a>(spans: &'a [Span], (service, name): (&str, &str), kind: &str, parent_id: &str) -> &'a Span {
    let [span] = named(spans, service, name)[..] else { panic!("not one {name} in {spans:#?}") };
    assert_eq!((span.kind, &*span.parent_id), (kind, parent_id), "{span:#?}");
    span
}

both_engines! {
    async fn an_order_is_one_trace_to_its_email_and_its_money_across_a_cut_publish_and_a_redelivery(engine: Engine) {
        let collector = Collector::start().await.unwrap();
        let mut world = World::start(engine, &collector.url()).await;
        let mut paying = Paying::start(engine, &world.nats, &collector.url()).await;
        let told = |service: &str, name: &str| named(&collector.trace(TRACE), service, name).len();

        // The publish is cut off before it arrives, and comes again.
        world.relays.cut_before(b"PUB order.created");
        world.notifiers.pause_before(b"+ACK");
        let order = world.place().await;
        world.relays.until_cut().await;
        eventually("the attempt that was cut off is told", async || told("outbox-relay", "publish order.created") == 1).await;
        world.relays.heal().await;

        // The notifier has committed and sent the email, and dies before its ack arrives.
        world.notifiers.until_paused().await;
        eventually("the first processing is told", async || told("notify-svc", "process order.created") == 1).await;
        eventually("the email is told", async || told("notify-svc", "perform emails order.created") == 1).await;
        world.services.notify_svc.kill().await;
        world.notifiers.cut().await;
        world.notifiers.heal().await;
        world.nak_first_delivery().await;
        world.services.notify_svc.restart().await;
        eventually("the redelivery is told", async || told("notify-svc", "process order.created") == 2).await;
        world.services.until_notified(&order).await;

        // It is paid, and cancelled by the same client; the provider's first answer to the refund is lost.
        paying.payment_svc.spawn();
        eventually("the payment is told", async || told("order-svc", "process payment.authorized") > 0).await;
        world.post(&format!("/api/orders/{order}/cancel"), CANCELLER, &json!({})).await;
        eventually("the refund is told", async || told("notify-svc", "perform emails payment.refunded") > 0).await;
        for service in world.services.each().into_iter().chain([&mut paying.relay, &mut paying.payment_svc]) {
            assert!(service.terminate().await.success());
        }
        let spans = collector.trace(TRACE);
        assert_order(&spans, &world.appended_by().await);
        assert_money(&spans);

        let services = &world.services;
        for log in [&services.order_svc, &services.relay, &services.notify_svc, &paying.payment_svc].map(|it| it.log()) {
            assert!(log.contains(TRACE), "no line of the trace in {log}");
        }
        let log = paying.payment_svc.log();
        let attempt = log.lines().find(|line| line.contains("effect did not end well")).expect("the lost answer is told");
        assert!(attempt.contains(TRACE), "{attempt}");
        assert!(collector.keys().iter().all(|key| key == "hunter2"));
        assert!(!world.services.logs().contains("hunter2"));
    }
}

fn assert_order(spans: &[Span], traceparent: &str) {
    let request = one(spans, ("order-svc", "POST /api/orders"), "SPAN_KIND_SERVER", CLIENT);
    assert_eq!(request.attribute("http.response.status_code"), "201");
    let place = one(spans, ("order-svc", "order.place"), "SPAN_KIND_INTERNAL", &request.span_id);
    let append = one(spans, ("order-svc", "append order.created"), "SPAN_KIND_PRODUCER", &place.span_id);
    assert_eq!(traceparent, format!("00-{TRACE}-{}-01", append.span_id), "the row names the span that made it");

    let event_id = append.attribute("messaging.message.id");
    let publishes = named(spans, "outbox-relay", "publish order.created");
    assert!(publishes.iter().all(|it| it.kind == "SPAN_KIND_CLIENT" && it.parent_id == append.span_id));
    assert!(publishes.iter().all(|it| it.attribute("messaging.message.id") == event_id));
    assert!(publishes[0].fault.is_some(), "{publishes:#?}");
    assert_eq!(publishes.iter().filter(|it| it.attribute("nats.stream.sequence") == "1").count(), 1, "{publishes:#?}");

    let processings = named(spans, "notify-svc", "process order.created");
    assert!(processings.iter().all(|it| it.kind == "SPAN_KIND_CONSUMER" && it.parent_id == append.span_id));
    assert!(processings.iter().all(|it| it.attribute("messaging.message.id") == event_id));
    let outcomes: Vec<_> = processings.iter().map(|it| it.attribute("inbox.outcome")).collect();
    assert_eq!(outcomes, ["first", "duplicate"]);
    let deliveries: Vec<u32> =
        processings.iter().map(|it| it.attribute("nats.consumer.deliveries").parse().unwrap()).collect();
    assert!(deliveries[0] == 1 && deliveries[1] > 1, "{deliveries:?}");

    let email = one(spans, ("notify-svc", "perform emails order.created"), "SPAN_KIND_CLIENT", &processings[0].span_id);
    assert_eq!((email.attribute("effect.outcome"), email.attribute("effect.attempts")), ("done", "0"));
}

/// The charge and the refund, what each followed from, and what followed from it in the other services.
fn assert_money(spans: &[Span]) {
    let append = |service, event: &str| named(spans, service, &format!("append {event}"))[0];
    let charge = performed(spans, "payment-svc", "perform provider charge", append("order-svc", "order.created"));
    let authorized = append("payment-svc", "payment.authorized");
    assert_eq!(authorized.parent_id, charge.span_id);
    let publishes = named(spans, "outbox-relay", "publish payment.authorized");
    assert!(!publishes.is_empty() && publishes.iter().all(|it| it.parent_id == authorized.span_id));
    let paid = processed(spans, "order-svc", authorized);
    assert_eq!(paid.attribute("messaging.message.id"), authorized.attribute("messaging.message.id"));

    let cancel = one(spans, ("order-svc", "POST /api/orders/{id}/cancel"), "SPAN_KIND_SERVER", CANCELLER);
    let cancel = one(spans, ("order-svc", "order.cancel"), "SPAN_KIND_INTERNAL", &cancel.span_id);
    let cancelled = append("order-svc", "order.cancelled");
    assert_eq!(cancelled.parent_id, cancel.span_id);
    let refund = performed(spans, "payment-svc", "perform provider refund", cancelled);
    let lost = named(spans, "payment-svc", "perform provider refund")[0];
    assert_eq!((lost.attribute("effect.outcome"), lost.fault.as_deref()), ("unknown", Some("unknown")));
    assert_eq!(lost.attribute("effect.id"), refund.attribute("effect.id"), "another attempt at one refund");
    let refunded = append("payment-svc", "payment.refunded");
    assert_eq!(refunded.parent_id, refund.span_id);
    performed(spans, "notify-svc", "perform emails payment.refunded", refunded);
}

/// The processing that was the first of an event, below its append.
fn processed<'a>(spans: &'a [Span], service: &str, append: &Span) -> &'a Span {
    let processings = named(spans, service, &append.name.replace("append", "process"));
    assert!(processings.iter().all(|it| it.parent_id == append.span_id), "{processings:#?}");
    let is_first = |it: &&&Span| it.attribute("inbox.outcome") == "first";
    processings.iter().find(is_first).unwrap_or_else(|| panic!("none is the first of {processings:#?}"))
}

/// The attempt that did what the event was to come to; each attempt is below the processing of the event.
fn performed<'a>(spans: &'a [Span], service: &str, name: &str, append: &Span) -> &'a Span {
    let process = processed(spans, service, append);
    let attempts = named(spans, service, name);
    assert!(
        attempts.iter().all(|it| it.parent_id == process.span_id && it.kind == "SPAN_KIND_CLIENT"),
        "{attempts:#?}"
    );
    let done = attempts.last().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert_eq!((done.attribute("effect.outcome"), &done.fault), ("done", &None));
    done
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
        ("ORDERS_URL", "http://127.0.0.1:1"),
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
