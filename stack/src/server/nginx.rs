//! nginx as the gateway, from `gateway/nginx.conf.template`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, Probe, Process};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// What fills the template, and where nginx lives.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where it listens, `host:port`.
    pub listen: String,
    /// order-svc, `host:port`.
    pub order_svc: String,
    /// notify-svc, `host:port`.
    pub notify_svc: String,
    /// Folder for its configuration, pid and temporary files; created when it does not exist.
    pub folder: PathBuf,
    /// Where its output goes.
    pub output: Output,
}

/// A running gateway.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts it. When this returns, it answers for itself on `/health`.
    ///
    /// # Errors
    /// One line: its program is missing, its folder can't be written, the template asks for something else than a
    /// [`Gateway`] gives, or it did not start.
    pub async fn start(home: &Home, gateway: &Gateway) -> anyhow::Result<Nginx> {
        let program = home.program("nginx")?;
        create_folder(&gateway.folder)?;
        let template = home.root().join("gateway/nginx.conf.template");
        let template = fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
        let html = home.root().join("gateway/html");
        let path = gateway.folder.join("nginx.conf");
        let values = [
            ("GATEWAY_LISTEN", gateway.listen.clone()),
            ("ORDER_SVC_ADDR", gateway.order_svc.clone()),
            ("NOTIFY_SVC_ADDR", gateway.notify_svc.clone()),
            ("GATEWAY_DIR", gateway.folder.display().to_string()),
            ("GATEWAY_HTML", html.display().to_string()),
        ];
        fs::write(&path, render(&template, &values)?).with_context(|| format!("cannot write {}", path.display()))?;
        // Started as root it would hand the work to `nobody`, who may not be able to read the workspace.
        let user = if Uid::effective().is_root() { " user root;" } else { "" };
        let mut process = Launch::new("nginx", program)
            .arg("-p")
            .arg(&gateway.folder)
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr", "-g"])
            .arg(format!("daemon off;{user}"))
            .output(gateway.output.clone())
            .stop_signal(Signal::SIGQUIT) // lets requests in flight finish
            .spawn()?;
        let url = format!("http://{}/health", gateway.listen);
        let client = reqwest::Client::new();
        let probe = async || match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => Probe::Ready,
            Ok(answer) => Probe::NotYet(format!("/health answered {}", answer.status())),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        process.until_ready(READY_WITHIN, probe).await?;
        Ok(Nginx { process })
    }

    /// The process, for whoever watches it from now on.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }
}

/// Replaces `${NAME}` for the given names; a `${NAME}` in capitals that remains is an error, any other `$` is nginx's.
fn render(template: &str, values: &[(&str, String)]) -> anyhow::Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    for (start, _) in text.match_indices("${") {
        let name = text[start + 2..].split('}').next().unwrap_or_default();
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            bail!("gateway/nginx.conf.template asks for {name}, which the stack does not know");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn only_known_names_in_capitals_are_replaced() {
        let values = [("GATEWAY_LISTEN", "127.0.0.1:1".to_owned())];
        let rendered = render("listen ${GATEWAY_LISTEN}; return 200 $uri${uri};", &values);
        assert_eq!(rendered.unwrap(), "listen 127.0.0.1:1; return 200 $uri${uri};");
        assert!(render("${GATEWAY_OTHER}", &values).unwrap_err().to_string().contains("GATEWAY_OTHER"));
    }
}
