ALTER USER 'notify_svc'@'%' IDENTIFIED BY 'dev-only-notify' ACCOUNT UNLOCK;
