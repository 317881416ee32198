//! The notifications against what mail servers were sent.

use std::collections::BTreeMap;
use std::time::Instant;

use uuid::Uuid;

use crate::proof::claim::{Claim, by_aggregate, list};
use crate::proof::{Evidence, Notification};
use crate::smtp::Mail;

/// A process that sends emails, to a mail server of its own.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its name.
    pub name: String,
    /// What it sent.
    pub mails: Vec<Mail>,
    /// When it had been killed, each time.
    pub killed_at: Vec<Instant>,
}

impl Sender {
    /// Whether a kill may have kept it from writing down that it had sent a mail, before another began to send it again.
    fn was_killed_between(&self, mail: &Mail, again: &Mail) -> bool {
        self.killed_at.iter().any(|killed_at| (mail.begun_at..=again.begun_at).contains(killed_at))
    }
}

/// Compares the notifications with the emails.
#[must_use]
pub fn check_emails(evidence: &Evidence, senders: &[Sender]) -> [Claim; 2] {
    [delivered(evidence, senders), delivered_once(senders)]
}

fn delivered(evidence: &Evidence, senders: &[Sender]) -> Claim {
    let text = "each notification's email reached the mail server, to whom its order says and of what it says, and no other did";
    let (mut mails, orders) = (by_message_id(senders), by_aggregate(&evidence.orders));
    let wrong = evidence.notifications.iter().flat_map(|notification| {
        let sent = mails.remove(&Some(notification.id)).unwrap_or_default();
        let unsent = sent.is_empty().then(|| format!("the email of notification {} was never sent", notification.id));
        let to = orders.get(&notification.aggregate_id()).map_or("", |order| order.email.as_str());
        let wrong = sent.into_iter().filter(|(_, mail)| !says(mail, to, notification)).map(|(sender, mail)| {
            format!("{} sent for {notification:?} of {to} to {}: {}", sender.name, list(&mail.recipients), mail.content)
        });
        unsent.into_iter().chain(wrong).collect::<Vec<_>>()
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers = mails.into_values().flatten().map(|(sender, mail)| {
        format!("{} sent the email {} of no notification", sender.name, mail.header("Message-ID"))
    });
    Claim::new("delivered", text, evidence.notifications.len()).except(wrong.into_iter().chain(strangers))
}

fn delivered_once(senders: &[Sender]) -> Claim {
    let text = "no email was sent again, unless a SIGKILL hit its sender, and then the same one";
    let mails = by_message_id(senders);
    let again = mails.values().flat_map(|mails| mails.windows(2)).filter_map(|two| {
        let [(sender, mail), (other, again)] = two else { return None };
        let (id, content) = (mail.header("Message-ID"), &again.content);
        if mail.content != *content {
            Some(format!("{} sent the email {id} again as another: {content}", other.name))
        } else if !sender.was_killed_between(mail, again) {
            Some(format!("{} sent the email {id} again, and {} had not been killed", other.name, sender.name))
        } else {
            None
        }
    });
    Claim::new("delivered_once", text, mails.len()).except(again)
}

/// The emails of each notification in the order in which they were sent; under none those that name no notification.
fn by_message_id(senders: &[Sender]) -> BTreeMap<Option<Uuid>, Vec<(&Sender, &Mail)>> {
    let mut mails: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (sender, mail) in senders.iter().flat_map(|sender| sender.mails.iter().map(move |mail| (sender, mail))) {
        let id = mail.header("Message-ID").split(['<', '@']).nth(1).and_then(|id| id.parse().ok());
        mails.entry(id).or_default().push((sender, mail));
    }
    mails.values_mut().for_each(|mails| mails.sort_by_key(|(_, mail)| mail.begun_at));
    mails
}

fn says(mail: &Mail, to: &str, notification: &Notification) -> bool {
    let Notification { product, quantity, order_id, .. } = notification;
    mail.recipients == [to]
        && mail.header("To") == to
        && mail.content.contains(&format!("{quantity} x {product}"))
        && mail.content.contains(&order_id.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{sound, twice};
    use super::*;

    /// What two senders sent for sound notifications: the second one's first mail again, after a kill of the first.
    fn sent(evidence: &Evidence) -> Vec<Sender> {
        let began = Instant::now();
        let mails = (1..).zip(&evidence.notifications).map(|(second, Notification { id, order_id, product, .. })| {
            let recipient = format!("{product}@example.com");
            let content = format!("Message-ID: <{id}@shop>\nTo: {recipient}\n\n2 x {product}\n{order_id}\n");
            Mail { begun_at: began + Duration::from_secs(second), recipients: vec![recipient], content }
        });
        let mails: Vec<_> = mails.collect();
        let repeat = Mail { begun_at: began + Duration::from_secs(90), ..mails[2].clone() };
        let killed_at = vec![began + Duration::from_secs(4)];
        let (first, second) = ("first".to_owned(), "second".to_owned());
        vec![
            Sender { name: first, mails, killed_at },
            Sender { name: second, mails: vec![repeat], killed_at: Vec::new() },
        ]
    }

    fn violated(evidence: &Evidence, senders: &[Sender]) -> Vec<(&'static str, String)> {
        let claims = check_emails(evidence, senders).into_iter().filter(|claim| !claim.holds());
        claims.map(|claim| (claim.name, claim.violations.join("; "))).collect()
    }

    #[test]
    fn nothing_speaks_against_emails_that_only_a_kill_repeats() {
        let (_, evidence) = sound();
        let senders = sent(&evidence);
        assert_eq!(violated(&evidence, &senders), []);
        assert!(check_emails(&evidence, &senders).iter().all(|claim| claim.checked == 3));
    }

    type Break = (&'static str, fn(&mut Vec<Sender>), &'static [&'static str]);

    const BREAKS: &[Break] = &[
        (
            "an email that never came",
            |senders| senders.iter_mut().for_each(|sender| drop(sender.mails.pop())),
            &["delivered"],
        ),
        (
            "an email to somebody else",
            |senders| senders[0].mails[2].recipients = vec!["one@example.com".into()],
            &["delivered"],
        ),
        (
            "an email to one more",
            |senders| senders[1].mails[0].recipients.push("one@example.com".into()),
            &["delivered"],
        ),
        (
            "a repeat that says something else",
            |senders| senders[1].mails[0].content = senders[0].mails[2].content.replace("2 x", "3 x"),
            &["delivered", "delivered_once"],
        ),
        ("a repeat without a kill", |senders| senders[0].killed_at.clear(), &["delivered_once"]),
        (
            "a repeat after a kill of the other sender",
            |senders| {
                let (first, second) = senders.split_at_mut(1);
                std::mem::swap(&mut first[0].killed_at, &mut second[0].killed_at);
            },
            &["delivered_once"],
        ),
        (
            "a repeat before the kill",
            |senders| senders[1].mails[0].begun_at = senders[0].mails[2].begun_at,
            &["delivered_once"],
        ),
        (
            "one repeat more than kills",
            |senders| twice(&mut senders[1].mails, |mail| mail.begun_at += Duration::from_secs(90)),
            &["delivered_once"],
        ),
    ];

    #[test]
    fn whatever_is_wrong_with_emails_violates_its_claims_and_is_named() {
        for (what, break_it, claims) in BREAKS {
            let (_, evidence) = sound();
            let mut senders = sent(&evidence);
            break_it(&mut senders);
            let found = violated(&evidence, &senders);
            assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), *claims, "{what}: {found:?}");
            let id = evidence.notifications[2].id.to_string();
            assert!(found.iter().all(|(_, text)| text.contains(&id)), "{what} is not named: {found:?}");
        }
    }

    #[test]
    fn an_email_of_no_notification_is_named() {
        let (_, mut evidence) = sound();
        let senders = sent(&evidence);
        let lost = evidence.notifications.pop().unwrap().id.to_string();
        let found = violated(&evidence, &senders);
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["delivered"]);
        assert!(found[0].1.contains(&lost), "{found:?}");
    }
}
