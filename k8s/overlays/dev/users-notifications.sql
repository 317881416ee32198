ALTER USER 'notify_svc'@'%' IDENTIFIED BY 'dev-only-notify' ACCOUNT UNLOCK;
ALTER USER 'notifications_operator'@'%' IDENTIFIED BY 'dev-only-notifications-operator' ACCOUNT UNLOCK;
