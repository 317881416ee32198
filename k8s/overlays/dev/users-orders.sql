ALTER USER 'order_svc'@'%' IDENTIFIED BY 'dev-only-order' ACCOUNT UNLOCK;
ALTER USER 'outbox_relay'@'%' IDENTIFIED BY 'dev-only-relay' ACCOUNT UNLOCK;
ALTER USER 'orders_operator'@'%' IDENTIFIED BY 'dev-only-orders-operator' ACCOUNT UNLOCK;
