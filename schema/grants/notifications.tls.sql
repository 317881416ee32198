-- Users who may come by an encrypted connection only, for a server that speaks TLS. Applied after the grants, in production.
ALTER USER 'notify_svc'@'%' REQUIRE SSL;
ALTER USER 'notifications_operator'@'%' REQUIRE SSL;
ALTER USER 'notifications_inspector'@'%' REQUIRE SSL;
