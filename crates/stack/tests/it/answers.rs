//! What the public is answered while the servers behind the services are away: nothing of these.

use schema::database::{NOTIFICATIONS, ORDERS};
use stack::testing::{Database, MySql, Nats, Service, eventually};
use stack::{Engine, both_engines};

use crate::services::Services;

/// What names a server, a user, or the words of one.
fn told(answer: &str, ports: [u16; 2]) -> Vec<String> {
    let words = [
        "127.0.0.1",
        "localhost",
        "order_svc",
        "notify_svc",
        "mysql",
        "mariadb",
        "nats",
        "refused",
        "denied",
        "broken pipe",
        "os error",
    ];
    let words = words.map(str::to_owned).into_iter().chain(ports.map(|port| port.to_string()));
    words.filter(|word| answer.to_lowercase().contains(word)).collect()
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, format!("{headers:?} {}", answer.text().await.unwrap()))
}

both_engines! {
    async fn an_answer_says_nothing_of_the_servers_that_are_away(engine: Engine) {
        let mut server = MySql::start(engine).await;
        let (orders, notifications) =
            (Database::create_on(&server, &ORDERS).await, Database::create_on(&server, &NOTIFICATIONS).await);
        let mut nats = Nats::start_with_accounts().await;
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url()).start().await;
        let order = services.place().await;
        services.until_notified(&order).await;
        nats.stop().await;
        server.stop().await;

        let client = reqwest::Client::new();
        let (one, cancel) = (format!("/api/orders/{order}"), format!("/api/orders/{order}/cancel"));
        let body = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;
        let get = |service: &Service, path: &str| client.get(service.url(path));
        let post = |path: &str| client.post(services.order_svc.url(path)).header("content-type", "application/json");
        let requests = [
            get(&services.order_svc, "/api/orders"),
            get(&services.order_svc, &one),
            get(&services.order_svc, &format!("{one}/events")),
            get(&services.order_svc, "/api/orders/events/status"),
            get(&services.order_svc, "/health"),
            post("/api/orders").body(body),
            post(&cancel),
            get(&services.notify_svc, "/api/notifications"),
            get(&services.notify_svc, &format!("/api/notifications?order_id={order}")),
            get(&services.notify_svc, "/api/events/stats"),
            get(&services.notify_svc, "/health"),
        ];
        let ports = [server.port(), nats.port()];
        for request in requests {
            let (status, text) = answer(request).await;
            assert_eq!(status, 503, "{text}");
            assert_eq!(told(&text, ports), Vec::<String>::new(), "{text}");
        }
        eventually("the state of the events says that the broker is away, in words of our own", async || {
            let (status, text) = answer(get(&services.notify_svc, "/api/events/status")).await;
            assert_eq!(told(&text.replace("notify-svc", ""), ports), Vec::<String>::new(), "{text}");
            status == 200 && text.contains("disconnected")
        })
        .await;
    }
}
