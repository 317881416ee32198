//! Debian's Chromium without a window, driven as a person would. Whatever it opens, it holds the page to this: no error in the
//! console, no request to another place, nothing that is wider than the window.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use stack::home::Home;
use stack::process::{Launch, Output, Probe, Running};
use stack::testing::{Port, eventually_within};
use tempfile::TempDir;
use thirtyfour::{By, ChromeCapabilities, ChromiumLikeCapabilities, Key, LoggingPrefsLogLevel, TypingData, WebDriver};

const PATIENCE: Duration = Duration::from_secs(40);
const WIDTHS: [u32; 2] = [1280, 390];
const THEMES: [&str; 2] = ["light", "dark"];

/// A browser on a page of the gateway.
pub(super) struct Browser {
    driver: WebDriver,
    origin: String,
    process: Running,
    _port: Port,
    _folder: TempDir,
}

impl Browser {
    /// Opens the console.
    pub(super) async fn open(gateway: u16) -> Self {
        let (home, folder, port) = (Home::find().unwrap(), tempfile::tempdir().unwrap(), Port::reserve());
        let launch = Launch::new("chromedriver", home.program("chromedriver").unwrap())
            .arg(format!("--port={}", port.number()))
            .output(Output::File(folder.path().join("log")));
        let mut process = Running::start(launch, Duration::from_secs(20)).unwrap();
        let url = format!("http://127.0.0.1:{}", port.number());
        let probe = async || match reqwest::get(format!("{url}/status")).await {
            Ok(_) => Probe::Ready,
            Err(error) => Probe::NotYet(error.to_string()),
        };
        process.process.until_ready(Duration::from_secs(30), probe).await.unwrap();
        let driver =
            WebDriver::new(&url, capabilities(&home.program("chromium-headless-shell").unwrap())).await.unwrap();
        let origin = format!("http://127.0.0.1:{gateway}");
        let browser = Self { driver, origin, process, _port: port, _folder: folder };
        browser.appear([WIDTHS[0], 900], THEMES[0]).await;
        browser.driver.goto(&format!("{}/", browser.origin)).await.unwrap();
        browser
    }

    /// Closes it, and says whether the page behaved all the while.
    pub(super) async fn close(mut self) {
        let said = self.driver.browser_log().await.unwrap();
        let complaints: Vec<String> =
            said.into_iter().map(|entry| entry.message).filter(|line| !is_answer(line)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let requested = self.requested().await;
        assert!(requested.len() > 10, "{requested:?}");
        for url in requested {
            assert!(url.starts_with(&format!("{}/", self.origin)) || url.starts_with("data:"), "{url}");
        }
        self.driver.quit().await.unwrap();
        self.process.stop().await.unwrap();
    }

    /// The URLs of all requests.
    async fn requested(&self) -> Vec<String> {
        let events = self.driver.get_log("performance").await.unwrap();
        let events =
            events.iter().map(|event| serde_json::from_str::<Value>(&event.message).unwrap()["message"].take());
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    async fn appear(&self, [width, height]: [u32; 2], theme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", size).await.unwrap();
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await.unwrap();
    }

    /// Keeps the page as it is now as a picture in each width and theme; in each, nothing is wider than the window.
    pub(super) async fn pictures(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&folder).unwrap();
        for width in WIDTHS {
            for theme in THEMES {
                self.appear([width, 900], theme).await;
                let [wide, high] =
                    ["scrollWidth", "scrollHeight"].map(|of| format!("return document.documentElement.{of}"));
                let wide = self.run(&wide).await;
                assert_eq!(wide, width, "{name}: something is wider than the window");
                let high = self.run(&high).await.as_u64().unwrap();
                self.appear([width, u32::try_from(high).unwrap()], theme).await;
                self.driver.screenshot(&folder.join(format!("{name}-{width}-{theme}.png"))).await.unwrap();
            }
        }
        self.appear([WIDTHS[0], 900], THEMES[0]).await;
    }

    async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// What a script says of the first element of a selector; null if there is none.
    async fn of(&self, selector: &str, expression: &str) -> Value {
        let script = format!("const e = document.querySelector({}); return e && {expression}", json!(selector));
        self.run(&script).await
    }

    /// Waits until this is to be read there.
    pub(super) async fn until_text(&self, selector: &str, text: &str) {
        eventually_within(PATIENCE, &format!("{selector} says {text:?}"), async || {
            self.of(selector, "e.innerText").await.as_str().is_some_and(|said| said.contains(text))
        })
        .await;
    }

    /// Waits until so many elements are there.
    pub(super) async fn until_count(&self, selector: &str, count: u64) {
        eventually_within(PATIENCE, &format!("{count} × {selector}"), async || {
            self.run(&format!("return document.querySelectorAll({}).length", json!(selector))).await == count
        })
        .await;
    }

    /// Waits until no such element is there.
    pub(super) async fn until_no(&self, selector: &str) {
        self.until_count(selector, 0).await;
    }

    /// Waits until this has the focus.
    pub(super) async fn until_focus(&self, selector: &str) {
        eventually_within(PATIENCE, &format!("{selector} has the focus"), async || self.has_focus(selector).await)
            .await;
    }

    async fn has_focus(&self, selector: &str) -> bool {
        self.of(selector, "e === document.activeElement").await == true
    }

    /// Presses Tab until this has the focus.
    pub(super) async fn tab_to(&self, selector: &str) {
        eventually_within(PATIENCE, &format!("Tab leads to {selector}"), async || {
            if self.has_focus(selector).await {
                return true;
            }
            self.press(Key::Tab).await;
            false
        })
        .await;
    }

    /// Types where the focus is.
    pub(super) async fn press(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Clicks the first of a selector as soon as it is there.
    pub(super) async fn click(&self, selector: &str) {
        eventually_within(PATIENCE, &format!("{selector} can be clicked"), async || {
            match self.driver.find(By::Css(selector)).await {
                Ok(element) => element.click().await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    /// Types this into a field, in place of what it holds.
    pub(super) async fn fill(&self, selector: &str, text: &str) {
        let field = self.driver.find(By::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }
}

/// Chromium logs each answer above 399 by itself; what the page makes of those is what the tests are about.
fn is_answer(line: &str) -> bool {
    line.contains("Failed to load resource: the server responded with a status of")
}

fn capabilities(program: &Path) -> ChromeCapabilities {
    let mut wanted = ChromeCapabilities::new();
    wanted.set_binary(program.to_str().unwrap()).unwrap();
    // The pipe ends the browser with its driver. The sandbox wants rights that a container does not give; the page is ours.
    for argument in ["--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"] {
        wanted.add_arg(argument).unwrap();
    }
    for log in ["browser", "performance"] {
        wanted.set_logging_prefs(log, LoggingPrefsLogLevel::All).unwrap();
    }
    wanted
}
