//! What can be chosen about a stack.

use stack::Engine;
use stack::port::Wanted;
use stack::service::Program;

/// Every port is one of 127.0.0.1.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Which database server to run.
    #[arg(long, env = "STACK_DB", value_enum, default_value_t = Engine::MySql)]
    pub(crate) db: Engine,

    /// End the stack when a service dies, instead of starting it again: for scripts.
    #[arg(long)]
    pub(crate) no_restart: bool,

    /// Start Prometheus beside the pipeline, with the alerts of k8s/components/monitoring.
    #[arg(long)]
    pub(crate) observe: bool,

    /// Have the APIs ask for tokens, of an issuer that is made for this run, and print two.
    #[arg(long)]
    pub(crate) auth: bool,

    /// Prometheus, with --observe.
    #[arg(long, env = "STACK_PROMETHEUS_PORT", default_value_t = 9090)]
    pub(crate) prometheus_port: u16,

    /// Where clients come in.
    #[arg(long, env = "STACK_GATEWAY_PORT", default_value_t = 8080)]
    pub(crate) gateway_port: u16,

    /// The database server, whichever it is.
    #[arg(long, env = "STACK_MYSQL_PORT", default_value_t = 3307)]
    pub(crate) mysql_port: u16,

    /// How many nats-servers to run: 1, or 3 as a cluster with three copies of the stream. Each has data of its own.
    #[arg(long, env = "STACK_NATS_NODES", default_value = "1", value_parser = nats_nodes)]
    pub(crate) nats_nodes: u16,

    /// NATS; the first of three ports with three servers.
    #[arg(long, env = "STACK_NATS_PORT", default_value_t = 4222)]
    pub(crate) nats_port: u16,

    /// The HTTP monitor of NATS; the first of three ports with three servers.
    #[arg(long, env = "STACK_NATS_MONITOR_PORT", default_value_t = 8222)]
    pub(crate) nats_monitor_port: u16,

    /// Where three nats-servers talk to each other: the first of three ports.
    #[arg(long, env = "STACK_NATS_CLUSTER_PORT", default_value_t = 6222)]
    pub(crate) nats_cluster_port: u16,

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

    /// The API of payment-svc, behind the gateway.
    #[arg(long, env = "STACK_PAYMENT_SVC_PORT", default_value_t = 8084)]
    pub(crate) payment_svc_port: u16,

    /// Liveness, readiness and metrics of payment-svc.
    #[arg(long, env = "STACK_PAYMENT_SVC_ADMIN_PORT", default_value_t = 9084)]
    pub(crate) payment_svc_admin_port: u16,

    /// Liveness, readiness and metrics of the relay of the payments.
    #[arg(long, env = "STACK_PAYMENT_RELAY_ADMIN_PORT", default_value_t = 9085)]
    pub(crate) payment_relay_admin_port: u16,
}

/// One, or a cluster of three.
pub(crate) fn nats_nodes(text: &str) -> Result<u16, &'static str> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("it is 1 or 3"),
    }
}

impl Settings {
    /// Of each nats-server: for clients, for its monitor and for the others.
    pub(crate) fn nats_ports(&self) -> Vec<[u16; 3]> {
        let first = [self.nats_port, self.nats_monitor_port, self.nats_cluster_port];
        (0..self.nats_nodes).map(|index| first.map(|port| port.saturating_add(index))).collect()
    }

    /// The port of a service's API, if it has one, and of its `/readyz`.
    pub(crate) fn ports_of(&self, service: Program) -> [u16; 2] {
        match service {
            Program::OrderSvc => [self.order_svc_port, self.order_svc_admin_port],
            Program::OutboxRelay => [0, self.outbox_relay_admin_port],
            Program::NotifySvc => [self.notify_svc_port, self.notify_svc_admin_port],
            Program::PaymentSvc => [self.payment_svc_port, self.payment_svc_admin_port],
            Program::PaymentRelay => [0, self.payment_relay_admin_port],
        }
    }

    /// `host:port` of one of these ports.
    pub(crate) fn address(port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    /// All of them, to be checked before any is used.
    pub(crate) fn ports(&self) -> Vec<Wanted> {
        let want = |owner, number, setting| Wanted { owner, number, setting };
        let mut ports = vec![
            want("the gateway", self.gateway_port, "STACK_GATEWAY_PORT"),
            want("the database", self.mysql_port, "STACK_MYSQL_PORT"),
            want("order-svc", self.order_svc_port, "STACK_ORDER_SVC_PORT"),
            want("order-svc's admin port", self.order_svc_admin_port, "STACK_ORDER_SVC_ADMIN_PORT"),
            want("notify-svc", self.notify_svc_port, "STACK_NOTIFY_SVC_PORT"),
            want("notify-svc's admin port", self.notify_svc_admin_port, "STACK_NOTIFY_SVC_ADMIN_PORT"),
            want("outbox-relay's admin port", self.outbox_relay_admin_port, "STACK_OUTBOX_RELAY_ADMIN_PORT"),
            want("payment-svc", self.payment_svc_port, "STACK_PAYMENT_SVC_PORT"),
            want("payment-svc's admin port", self.payment_svc_admin_port, "STACK_PAYMENT_SVC_ADMIN_PORT"),
            want("payment-relay's admin port", self.payment_relay_admin_port, "STACK_PAYMENT_RELAY_ADMIN_PORT"),
        ];
        if self.observe {
            ports.push(want("Prometheus", self.prometheus_port, "STACK_PROMETHEUS_PORT"));
        }
        for [port, monitor, cluster] in self.nats_ports() {
            ports.push(want("NATS", port, "STACK_NATS_PORT"));
            ports.push(want("the NATS monitor", monitor, "STACK_NATS_MONITOR_PORT"));
            if self.nats_nodes > 1 {
                ports.push(want("the NATS cluster", cluster, "STACK_NATS_CLUSTER_PORT"));
            }
        }
        ports
    }
}
