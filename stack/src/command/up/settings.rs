//! What can be chosen about a stack.

use stack::Engine;
use stack::port::Wanted;

/// Every port is one of 127.0.0.1.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Which database server to run.
    #[arg(long, env = "STACK_DB", value_enum, default_value_t = Engine::MySql)]
    pub(crate) db: Engine,

    /// Where clients come in.
    #[arg(long, env = "STACK_GATEWAY_PORT", default_value_t = 8080)]
    pub(crate) gateway_port: u16,

    /// The database server, whichever it is.
    #[arg(long, env = "STACK_MYSQL_PORT", default_value_t = 3307)]
    pub(crate) mysql_port: u16,

    /// NATS.
    #[arg(long, env = "STACK_NATS_PORT", default_value_t = 4222)]
    pub(crate) nats_port: u16,

    /// The HTTP monitor of NATS.
    #[arg(long, env = "STACK_NATS_MONITOR_PORT", default_value_t = 8222)]
    pub(crate) nats_monitor_port: u16,

    /// The API of order-svc, behind the gateway.
    #[arg(long, env = "STACK_ORDER_SVC_PORT", default_value_t = 8081)]
    pub(crate) order_svc_port: u16,

    /// Liveness, readiness and metrics of order-svc.
    #[arg(long, env = "STACK_ORDER_SVC_ADMIN_PORT", default_value_t = 9081)]
    pub(crate) order_svc_admin_port: u16,

    /// The API of notify-svc, behind the gateway.
    #[arg(long, env = "STACK_NOTIFY_SVC_PORT", default_value_t = 8082)]
    pub(crate) notify_svc_port: u16,

    /// Liveness, readiness and metrics of notify-svc.
    #[arg(long, env = "STACK_NOTIFY_SVC_ADMIN_PORT", default_value_t = 9082)]
    pub(crate) notify_svc_admin_port: u16,

    /// Liveness, readiness and metrics of outbox-relay.
    #[arg(long, env = "STACK_OUTBOX_RELAY_ADMIN_PORT", default_value_t = 9083)]
    pub(crate) outbox_relay_admin_port: u16,
}

impl Settings {
    /// `host:port` of one of these ports.
    pub(crate) fn address(port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    /// All of them, to be checked before any is used.
    pub(crate) fn ports(&self) -> [Wanted; 9] {
        let want = |owner, number, setting| Wanted { owner, number, setting };
        [
            want("the gateway", self.gateway_port, "STACK_GATEWAY_PORT"),
            want("the database", self.mysql_port, "STACK_MYSQL_PORT"),
            want("NATS", self.nats_port, "STACK_NATS_PORT"),
            want("the NATS monitor", self.nats_monitor_port, "STACK_NATS_MONITOR_PORT"),
            want("order-svc", self.order_svc_port, "STACK_ORDER_SVC_PORT"),
            want("order-svc's admin port", self.order_svc_admin_port, "STACK_ORDER_SVC_ADMIN_PORT"),
            want("notify-svc", self.notify_svc_port, "STACK_NOTIFY_SVC_PORT"),
            want("notify-svc's admin port", self.notify_svc_admin_port, "STACK_NOTIFY_SVC_ADMIN_PORT"),
            want("outbox-relay's admin port", self.outbox_relay_admin_port, "STACK_OUTBOX_RELAY_ADMIN_PORT"),
        ]
    }
}
