-- Users who may come by an encrypted connection only, for a server that speaks TLS. Applied after the grants, in production.
ALTER USER 'payment_svc'@'%' REQUIRE SSL;
ALTER USER 'payment_relay'@'%' REQUIRE SSL;
ALTER USER 'payments_operator'@'%' REQUIRE SSL;
ALTER USER 'payments_inspector'@'%' REQUIRE SSL;
