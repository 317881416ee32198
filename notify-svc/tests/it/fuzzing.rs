//! The document is an interface: what it says must be so.

use schema::ids::{EventId, NotificationId, OrderId};
use stack::Engine;
use stack::testing::fuzz;

use crate::setting::{Setting, metric};

/// The examples of the document.
const NOTIFICATION: &str = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001";
const ORDER: &str = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";

#[tokio::test]
async fn a_schema_driven_fuzzer_finds_the_document_of_the_notifications_true() {
    let setting = Setting::new(Engine::MySql).await;
    for number in 0..10 {
        let (id, order_id) = match number {
            0 => (NOTIFICATION.parse().unwrap(), ORDER.parse().unwrap()),
            _ => (NotificationId::generate(), OrderId::generate()),
        };
        let insert = "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity)
                      VALUES (?, ?, 'order.created', ?, 'tea', 1)";
        let insert = sqlx::query(insert).bind(id).bind(EventId::generate()).bind(order_id);
        insert.execute(&setting.pool).await.unwrap();
    }
    let service = setting.service().env("EMAIL_TRANSPORT", "log");
    // What nobody has signed is refused.
    let service = service.env("SUPPRESSION_WEBHOOK_SECRET", "a secret that the fuzzer does not know").start().await;
    let report = fuzz(&service, None).await;
    for route in [
        "/api/notifications",
        "/api/notifications/{id}",
        "/api/events/status",
        "/api/events/stats",
        "/health/notification-service",
    ] {
        let answers = format!(r#"http_requests_total{{method="GET",route="{route}",status="200"}}"#);
        let found = metric(&service, &answers).await;
        assert!(found > 0.0, "{route}: {report}");
    }
}
