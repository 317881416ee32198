//! `stack demo-downtime`.

use std::process::Command;

#[test]
fn the_downtime_demo_sees_orders_wait_in_the_stream_and_each_notified_once() {
    let demo = Command::new(env!("CARGO_BIN_EXE_stack")).args(["demo-downtime", "--orders", "3"]).output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{said}{why}");
    assert!(said.contains("stream ORDERS holds 4 messages; 3 of them wait for the consumer notify-svc"), "{said}");
    assert!(said.ends_with("4 orders, 4 notifications: nothing was lost and nothing came twice.\n"), "{said}");
}
