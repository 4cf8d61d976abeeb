//! What scenarios need of Tidegate as it is installed, whichever process subscribes: `tidegate dev` on
//! a folder, or `tidegate controller` at an API server.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::spec::Spec;
use crate::support::model_app::{Hook, ModelApp};

/// How long it may take until all is well again after a kill: an attempt's deadline, two lookups
/// and a refused try are waited for, and many tests run on few cores.
const LONG: Duration = Duration::from_secs(300);

/// An app, and what subscribes at it.
pub trait Installation {
    fn app(&self) -> &ModelApp;

    fn spec(&self) -> &Spec;

    /// Changes what is declared, whether the process runs or not.
    async fn declare(&mut self, change: impl FnOnce(&mut Spec));

    /// Starts the process without waiting.
    async fn spawn(&mut self);

    /// Starts it and waits until it works.
    async fn run(&mut self);

    /// SIGKILL, and waits until it is gone.
    fn kill(&mut self);

    /// What it says about a customer's subscription: `state`, `registrations`, `orphans`.
    async fn subscription(&self, customer: &str) -> Option<Value>;

    /// Sends an event to all of a customer's registrations and waits until it is taken as that
    /// customer's, and as far as it can be delivered.
    async fn arrives(&mut self, customer: &str);

    /// Everything that the process printed.
    fn output(&self) -> String;

    /// Every customer's name.
    fn customers(&self) -> Vec<String> {
        self.spec().customers.clone()
    }

    /// Waits until a customer has exactly one registration at the app, and Tidegate knows it.
    async fn stands(&self, customer: &str) -> Hook {
        self.wait(&format!("{customer} has one registration"), async || {
            let live = self.app().live(customer);
            let [hook] = &live[..] else { return false };
            hook.is_enabled && self.is_known(customer, hook).await
        })
        .await;
        self.app().live(customer).remove(0)
    }

    /// Whether Tidegate says that this is what stands.
    async fn is_known(&self, customer: &str, hook: &Hook) -> bool {
        let shown = self.subscription(customer).await.unwrap_or_default();
        let registrations = shown["registrations"].as_array();
        let ids: Vec<&Value> = registrations
            .into_iter()
            .flatten()
            .map(|registration| &registration["id"])
            .collect();
        shown["state"] == "Active" && ids == [hook.id.as_str()]
    }

    /// Waits until a customer has none at the app, and Tidegate is through with it.
    async fn is_gone(&self, customer: &str) {
        self.wait(&format!("{customer} has no registration"), async || {
            let shown = self.subscription(customer).await.unwrap_or_default();
            let registrations = shown["registrations"].as_array();
            self.app().live(customer).is_empty() && registrations.is_none_or(Vec::is_empty)
        })
        .await;
    }

    /// The app tells a customer's one webhook something about itself, again where the answer is that
    /// it could not be stored in time, as apps do.
    async fn tell(&self, customer: &str, what: &str) {
        self.wait(&format!("{customer} is told {what}"), async || {
            match self.app().notify(customer, what).await[..] {
                [202] => true,
                [503] => false,
                ref other => panic!("{other:?}"),
            }
        })
        .await;
    }

    /// Waits for long until something holds; tells what the app and the process say otherwise.
    async fn wait(&self, what: &str, holds: impl AsyncFnMut() -> bool) {
        self.wait_for(what, LONG, holds).await;
    }

    /// The same, and how long at most.
    async fn wait_for(&self, what: &str, most: Duration, mut holds: impl AsyncFnMut() -> bool) {
        /// Of so many customers at most it is told what they asked.
        const TOLD: usize = 50;
        let start = Instant::now();
        while !holds().await {
            if start.elapsed() > most {
                let (mut shown, mut asked) = (Vec::new(), Vec::new());
                for customer in self.customers().iter().take(TOLD) {
                    let subscription = self.subscription(customer).await;
                    shown.push(subscription.unwrap_or_default().to_string());
                    let of = self.app().asked(customer);
                    asked.extend(of.iter().map(|asked| {
                        format!("{:?} {} {:?}", asked.at - start, asked.line, asked.status)
                    }));
                }
                let output = self.output();
                let tail = output.len().saturating_sub(4000);
                let tail = output.get(tail..).unwrap_or(&output);
                panic!(
                    "waited in vain until {what}\nshown:\n{}\nasked:\n{}\noutput:\n{tail}",
                    shown.join("\n"),
                    asked.join("\n"),
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
