//! Who performs an effect, and when.

use stack::both_engines;
use stack::testing::{Engine, eventually};

use crate::other_side::Service;

both_engines! {
    async fn two_processes_perform_each_effect_once(engine: Engine) {
        let service = Service::start(engine).await;
        let mut effects = Vec::new();
        for _ in 0..40 {
            effects.push(service.enqueue("goes").await);
        }
        let running = [service.run(), service.run()];
        for effect in &effects {
            service.until(*effect, "done").await;
        }
        for effect in effects {
            assert_eq!(service.other_side.told(effect), [false]);
            assert_eq!(service.conclusions(effect).await, 1);
        }
        for running in running {
            running.stop().await;
        }
    }

    async fn effects_that_hang_leave_room_for_others(engine: Engine) {
        let service = Service::start(engine).await;
        let mut hanging = Vec::new();
        for _ in 0..8 {
            hanging.push(service.enqueue("hangs").await);
        }
        let running = service.run();
        eventually("all hang", async || hanging.iter().all(|id| service.other_side.happened(*id) == 1)).await;
        let other = service.enqueue("goes").await;
        service.until(other, "done").await;
        running.kill().await;
    }

    async fn many_that_were_tried_before_leave_room_for_new_ones(engine: Engine) {
        let service = Service::start(engine).await;
        for _ in 0..12 {
            service.enqueue("hangs").await;
        }
        sqlx::query("UPDATE effect SET attempts = 1").execute(&service.admin).await.unwrap();
        let running = service.run();
        let new = service.enqueue("goes").await;
        service.until(new, "done").await;
        running.kill().await;
    }

    /// Such as that of a process that died in its conclusion, whose line the server still believes in.
    async fn a_lock_on_one_effect_holds_up_no_other(engine: Engine) {
        let service = Service::start(engine).await;
        let running = service.run();
        let hanging = service.enqueue("hangs").await;
        eventually("it hangs", async || service.other_side.happened(hanging) == 1).await;
        let mut orphan = service.admin.begin().await.unwrap();
        let conclude = "UPDATE effect SET state = 'done', is_unknown = 0, ended_at = UTC_TIMESTAMP(6) WHERE id = ?";
        sqlx::query(conclude).bind(hanging).execute(&mut *orphan).await.unwrap();
        let started_again = service.run();
        running.kill().await;
        for _ in 0..3 {
            let other = service.enqueue("goes").await;
            service.until(other, "done").await;
        }
        orphan.rollback().await.unwrap();
        started_again.stop().await;
    }

    async fn a_clock_that_was_ahead_keeps_no_effect_waiting(engine: Engine) {
        let service = Service::start(engine).await;
        let untried = service.enqueue("goes").await;
        let tried = service.enqueue("goes").await;
        let ahead = "UPDATE effect SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 YEAR";
        sqlx::query(ahead).execute(&service.admin).await.unwrap();
        sqlx::query("UPDATE effect SET attempts = 1 WHERE id = ?").bind(tried).execute(&service.admin).await.unwrap();
        let running = service.run();
        service.until(untried, "done").await;
        service.until(tried, "done").await;
        running.stop().await;
    }
}
