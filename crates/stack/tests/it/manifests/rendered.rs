//! An overlay as kustomize renders it, and ways to ask about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stack::home::Home;
use stack::testing::copy_folder;

pub const OVERLAYS: [&str; 2] = ["dev", "prod"];

/// All objects of an overlay.
pub struct Overlay {
    pub name: &'static str,
    objects: Vec<Value>,
}

/// A container, and what is around it.
pub struct Container<'a> {
    pub workload: &'a Value,
    pub spec: &'a Value,
}

impl Overlay {
    pub fn render(name: &'static str) -> Overlay {
        Self::render_with(name, &[])
    }

    /// As an overlay renders it that has this one as its base, and these components.
    pub fn render_with(name: &'static str, components: &[&str]) -> Overlay {
        let issuer = Home::find().unwrap().root().join("k8s/overlays/prod/issuer.env.example");
        Overlay::of(name, components, &std::fs::read_to_string(issuer).unwrap()).unwrap()
    }

    /// The same of a copy whose production knows this of who issues tokens, or why it does not render.
    pub fn of(name: &'static str, components: &[&str], issuer: &str) -> Result<Overlay, String> {
        let root = Home::find().unwrap().root().to_owned();
        let copy = tempfile::tempdir().unwrap();
        for folder in ["gateway", "k8s", "schema"] {
            copy_folder(&root.join(folder), &copy.path().join(folder));
        }
        let production = copy.path().join("k8s/overlays/prod");
        std::fs::write(production.join("issuer.env"), issuer).unwrap();
        let own = copy.path().join("k8s/overlays/own");
        std::fs::create_dir(&own).unwrap();
        let components = components.iter().map(|component| format!("../../components/{component}"));
        let listed = json!({"resources": [format!("../{name}")], "components": components.collect::<Vec<_>>()});
        std::fs::write(own.join("kustomization.yaml"), listed.to_string()).unwrap();
        Ok(Overlay { name, objects: serde_saphyr::from_multiple(&kustomize(&own)?).unwrap() })
    }

    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object, which has to be there.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> &Value {
        let found = self.of_kind(kind).find(|object| name_of(object) == name && namespace_of(object) == namespace);
        found.unwrap_or_else(|| panic!("{}: there is no {kind} {namespace}/{name}", self.name))
    }

    /// What makes pods.
    pub fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| pod_of(object)["containers"].is_array())
    }

    /// The containers that run one of our programs, those that run first among them.
    pub fn containers_of(&self, program: &str) -> Vec<Container<'_>> {
        let ours = |spec: &&Value| {
            let image = spec["image"].as_str().unwrap();
            image.rsplit('/').next().unwrap().split(':').next().unwrap() == program
        };
        let of = |workload| {
            let pod = pod_of(workload);
            let all = list(&pod["initContainers"]).chain(list(&pod["containers"]));
            all.filter(ours).map(move |spec| Container { workload, spec })
        };
        self.workloads().flat_map(of).collect()
    }

    /// A container's environment: values as they stand, and for those from a secret `None`.
    pub fn environment(&self, container: &Container<'_>) -> BTreeMap<String, Option<String>> {
        let namespace = namespace_of(container.workload);
        let mut environment = BTreeMap::new();
        for source in list(&container.spec["envFrom"]) {
            let name = source["configMapRef"]["name"].as_str().expect("envFrom names a ConfigMap");
            let data = self.object("ConfigMap", namespace, name)["data"].as_object().unwrap();
            environment.extend(data.iter().map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned))));
        }
        for variable in list(&container.spec["env"]) {
            let name = variable["name"].as_str().unwrap().to_owned();
            environment.insert(name, variable["value"].as_str().map(str::to_owned));
        }
        environment
    }

    /// Writes the files of all ConfigMaps that a workload mounts at `path` into a folder.
    pub fn write_files(&self, workload: &Value, volume: &str, folder: &Path, replace: impl Fn(&str) -> String) {
        let pod = pod_of(workload);
        let volume = list(&pod["volumes"]).find(|candidate| candidate["name"] == volume).unwrap();
        let sources = list(&volume["projected"]["sources"]).map(|source| &source["configMap"]["name"]);
        for name in sources.chain(std::iter::once(&volume["configMap"]["name"])).filter_map(Value::as_str) {
            let files = self.object("ConfigMap", namespace_of(workload), name)["data"].as_object().unwrap();
            for (file, text) in files {
                std::fs::write(folder.join(file), replace(text.as_str().unwrap())).unwrap();
            }
        }
    }
}

/// What kustomize makes of a folder, or why it does not.
pub fn kustomize(folder: &Path) -> Result<String, String> {
    let kubectl = Home::find().unwrap().program("kubectl").unwrap();
    let rendered = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    let [said, faults] = [rendered.stdout, rendered.stderr].map(|text| String::from_utf8(text).unwrap());
    if rendered.status.success() { Ok(said) } else { Err(faults) }
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub fn namespace_of(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

pub fn pod_of(workload: &Value) -> &Value {
    &template_of(workload)["spec"]
}

/// What its pods are made of: for a CronJob that of its jobs.
pub fn template_of(workload: &Value) -> &Value {
    let spec = if workload["kind"] == "CronJob" { &workload["spec"]["jobTemplate"]["spec"] } else { &workload["spec"] };
    &spec["template"]
}

/// The items of a list; nothing if it is not there.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The number of a container's port.
pub fn port_of(container: &Value, name: &str) -> u64 {
    let port = list(&container["ports"]).find(|port| port["name"] == name);
    port.and_then(|port| port["containerPort"].as_u64()).unwrap_or_else(|| panic!("there is no port {name}"))
}
