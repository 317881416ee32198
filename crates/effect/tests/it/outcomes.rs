//! What becomes of an effect, whatever an attempt comes to.

use effect::Withdrawal;
use schema::ids::EffectId;
use serde_json::json;
use stack::both_engines;
use stack::testing::{Engine, TcpProxy, eventually};

use crate::other_side::Service;

both_engines! {
    async fn an_effect_happens_only_if_its_transaction_commits(engine: Engine) {
        let service = Service::start(engine).await;
        let (id, subject) = (EffectId::generate(), "4711".to_owned());
        let new = effect::New { id, subject, kind: "goes", body: json!({}), traceparent: None };
        let mut tx = service.pool.begin().await.unwrap();
        effect::enqueue(&mut tx, "provider", &new).await.unwrap();
        tx.rollback().await.unwrap();
        let running = service.run();
        let committed = service.enqueue("goes").await;
        service.until(committed, "done").await;
        assert_eq!((service.other_side.happened(committed), service.conclusions(committed).await), (1, 1));
        assert!(service.other_side.told(new.id).is_empty());
        running.stop().await;
    }

    async fn an_attempt_without_an_answer_is_told_to_the_next_which_finds_out(engine: Engine) {
        let service = Service::start(engine).await;
        let running = service.run();
        let lost = service.enqueue("lost").await;
        service.until(lost, "done").await;
        assert_eq!(service.other_side.told(lost), [false, true]);
        assert_eq!((service.other_side.happened(lost), service.conclusions(lost).await), (1, 1));
        running.stop().await;
    }

    async fn a_kill_between_the_answer_and_its_conclusion_concludes_once(engine: Engine) {
        let service = Service::start(engine).await;
        let killed = service.run();
        let effect = service.enqueue("hangs").await;
        eventually("it happened", async || service.other_side.happened(effect) == 1).await;
        killed.kill().await;
        let running = service.run();
        // Untouched while its lease lasts.
        let other = service.enqueue("goes").await;
        service.until(other, "done").await;
        assert_eq!(service.state(effect).await, "pending");
        service.end_leases().await;
        service.until(effect, "done").await;
        assert_eq!(service.other_side.told(effect), [false, true]);
        assert_eq!((service.other_side.happened(effect), service.conclusions(effect).await), (1, 1));
        running.stop().await;
    }

    async fn a_line_that_falls_silent_in_a_conclusion_keeps_no_effect_from_being_concluded_once(engine: Engine) {
        let service = Service::start(engine).await;
        let mut line = TcpProxy::start(service.database.port()).await;
        let running = service.run_through(line.port());
        line.deafen_at(b"SET state = 'done'");
        let effect = service.enqueue("goes").await;
        line.until_deaf().await;
        line.lose().await;
        service.until(effect, "done").await;
        assert_eq!(service.other_side.told(effect), [false]);
        assert_eq!((service.other_side.happened(effect), service.conclusions(effect).await), (1, 1));
        running.stop().await;
    }

    async fn who_was_frozen_beyond_its_lease_concludes_nothing(engine: Engine) {
        let service = Service::start(engine).await;
        let frozen = service.run();
        let effect = service.enqueue("hangs").await;
        eventually("it happened", async || service.other_side.happened(effect) == 1).await;
        frozen.shutdown.cancel();
        service.end_leases().await;
        let running = service.run();
        service.until(effect, "done").await;
        service.other_side.release.notify_one();
        frozen.stop().await;
        assert_eq!((service.other_side.happened(effect), service.conclusions(effect).await), (1, 1));
        running.stop().await;
    }

    async fn an_outage_spends_no_attempt_and_all_go_when_it_ends(engine: Engine) {
        let service = Service::start(engine).await;
        service.other_side.set_away(true);
        let running = service.run();
        let mut effects = Vec::new();
        for _ in 0..3 {
            effects.push(service.enqueue("goes").await);
        }
        let tries = || effects.iter().map(|id| service.other_side.told(*id).len()).sum::<usize>();
        eventually("more tries than attempts are allowed", async || tries() > 3).await;
        service.other_side.set_away(false);
        for effect in &effects {
            service.until(*effect, "done").await;
            assert_eq!(service.attempts(*effect).await, 1);
            assert!(service.other_side.told(*effect).iter().all(|is_unknown| !is_unknown), "nothing had been sent");
            assert_eq!(service.conclusions(*effect).await, 1);
        }
        running.stop().await;
    }

    async fn only_what_has_not_happened_is_withdrawn(engine: Engine) {
        let service = Service::start(engine).await;
        let untried = service.enqueue("goes").await;
        assert_eq!(service.withdraw(untried).await, Withdrawal::Withdrawn);
        assert_eq!(service.withdraw(untried).await, Withdrawal::Ended);
        let running = service.run();
        let under_way = service.enqueue("hangs").await;
        eventually("it happened", async || service.other_side.happened(under_way) == 1).await;
        assert_eq!(service.withdraw(under_way).await, Withdrawal::MayHappen);
        service.other_side.release.notify_one();
        service.until(under_way, "done").await;
        assert_eq!(service.withdraw(under_way).await, Withdrawal::Ended);
        assert!(service.other_side.told(untried).is_empty());
        // Of one that is dead it may be known that it has not happened.
        let failed = service.enqueue("hopeless").await;
        service.until(failed, "dead").await;
        assert_eq!(service.withdraw(failed).await, Withdrawal::Withdrawn);
        running.stop().await;
    }
}
