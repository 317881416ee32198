-- Users who may come by an encrypted connection only, for a server that speaks TLS. Applied after the grants, in production.
ALTER USER 'order_svc'@'%' REQUIRE SSL;
ALTER USER 'outbox_relay'@'%' REQUIRE SSL;
ALTER USER 'orders_operator'@'%' REQUIRE SSL;
ALTER USER 'orders_inspector'@'%' REQUIRE SSL;
