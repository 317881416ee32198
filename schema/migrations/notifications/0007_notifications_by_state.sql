-- GET /api/notifications?state=dead: pages of one state, whatever stands between them.
ALTER TABLE notifications
    ADD KEY state_id (state, id);
