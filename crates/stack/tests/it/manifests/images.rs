//! Whose images run, and by which name.

use std::collections::BTreeMap;

use stack::home::Home;

use super::SERVICES;
use super::rendered::{OVERLAYS, Overlay, list, pod_of};

#[test]
fn each_image_of_others_is_named_by_version_and_digest() {
    let mut named = BTreeMap::new();
    for overlay in OVERLAYS.map(Overlay::render) {
        for pod in overlay.workloads().map(pod_of) {
            for container in list(&pod["initContainers"]).chain(list(&pod["containers"])) {
                let image = container["image"].as_str().unwrap();
                let (repository, version) = image.split_once(':').unwrap_or_else(|| panic!("{image} has no version"));
                if SERVICES.iter().any(|(program, ..)| repository.ends_with(program)) {
                    continue;
                }
                assert_digest(image);
                let other = named.insert(repository.to_owned(), version.to_owned());
                assert!(other.is_none_or(|other| other == version), "{repository} is named twice");
            }
        }
    }
    assert_eq!(named.len(), 5, "{named:?}");

    let dockerfile = std::fs::read_to_string(Home::find().unwrap().root().join("Dockerfile")).unwrap();
    let bases: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='))
        .map(|(_, image)| image)
        .collect();
    assert_eq!(bases.len(), 2, "{bases:?}");
    bases.into_iter().for_each(assert_digest);
}

fn assert_digest(image: &str) {
    let digest = image.split_once("@sha256:").unwrap_or_else(|| panic!("{image} is named by a tag alone")).1;
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{image}");
}
