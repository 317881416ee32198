ALTER USER 'payment_svc'@'%' IDENTIFIED BY 'dev-only-payment' ACCOUNT UNLOCK;
ALTER USER 'payment_relay'@'%' IDENTIFIED BY 'dev-only-payment-relay' ACCOUNT UNLOCK;
ALTER USER 'payments_operator'@'%' IDENTIFIED BY 'dev-only-payments-operator' ACCOUNT UNLOCK;
