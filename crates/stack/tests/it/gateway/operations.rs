//! A door of their own for people who run the store: what is theirs is nowhere else.

use super::Setup;

const THEIRS: [&str; 11] = [
    "/",
    "/console/app.js",
    "/docs/order-service/",
    "/docs/order-service",
    "/docs/payment-service/openapi.json",
    "/health/order-service",
    "/health/notification-service",
    "/api/orders/events/status",
    "/api/payments/events/status",
    "/api/events/status",
    "/api/events/stats",
];

const EVERYBODYS: [&str; 6] = [
    "/health",
    "/api/orders",
    "/api/orders/0198b4e6-5c3a-7d52-9e1f-3f2b8c6d4a10",
    "/api/orders/0198b4e6-5c3a-7d52-9e1f-3f2b8c6d4a10/events",
    "/api/notifications",
    "/api/payments",
];

fn get(path: &str, further: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop\r\n{further}Connection: close\r\n\r\n")
}

#[tokio::test]
async fn what_is_for_operations_is_served_at_its_own_door_only() {
    let setup = Setup::start_with_operations().await;
    for path in THEIRS {
        for further in ["", &format!("Host: 127.0.0.1:{}\r\n", setup.operations.number()), "X-Forwarded-Port: 8444\r\n"]
        {
            let answer = setup.exchange(&get(path, further)).await;
            // Two hosts are malformed.
            assert!(answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        }
    }
    assert!(setup.seen().is_empty(), "{:?}", setup.seen());
    for path in EVERYBODYS {
        let (status, answer) = setup.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    for path in THEIRS.iter().chain(&EVERYBODYS) {
        let answer = Setup::exchange_at(&setup.operations, &get(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 301 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn without_a_door_of_its_own_operations_is_served_where_the_rest_is() {
    let setup = Setup::start().await;
    for path in THEIRS.iter().chain(&EVERYBODYS) {
        let (status, answer) = setup.get(path).await;
        assert!([200, 301].contains(&status), "{path}: {answer}");
    }
}
