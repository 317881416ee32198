use std::net::TcpListener;

use stack::port::{Port, Wanted, check, is_free};

#[test]
fn reserved_ports_are_free_and_differ() {
    let (one, two) = (Port::reserve(), Port::reserve());
    assert_ne!(one.number(), two.number());
    assert!(is_free(one.number()) && is_free(two.number()));
}

#[test]
fn a_port_in_use_is_named_with_its_owner_and_the_setting_that_moves_it() {
    let port = Port::reserve();
    let _listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let wanted = [Wanted { owner: "the gateway", number: port.number(), setting: "STACK_GATEWAY_PORT" }];
    let message = check(&wanted).unwrap_err().to_string();
    for part in [&port.number().to_string(), "the gateway", "in use", "STACK_GATEWAY_PORT"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn one_port_for_two_owners_is_refused() {
    let number = Port::reserve().number();
    let want = |owner| Wanted { owner, number, setting: "STACK_X_PORT" };
    assert!(check(&[want("NATS"), want("the gateway")]).unwrap_err().to_string().contains("both NATS and the gateway"));
}
