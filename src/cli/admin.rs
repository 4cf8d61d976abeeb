//! Talking to the admin API, of every replica at once.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::Failure;

/// Where the admin API is.
#[derive(clap::Args)]
pub struct Admin {
    /// The admin address of a gateway pod or of `tidegate dev`; repeat it for every replica.
    #[arg(
        long = "admin",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL"
    )]
    urls: Vec<Url>,
}

/// How long one request may take: listing may read much of the log.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Items of one page.
const PAGE: usize = 1_000;

impl Admin {
    /// The items of a list, from every replica, at most `limit` from each.
    pub fn list(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        run(async {
            let client = client()?;
            let mut all = Vec::new();
            for base in &self.urls {
                let mut items: Vec<Value> = Vec::new();
                let mut after: Option<String> = None;
                loop {
                    let mut url = join(base, path)?;
                    {
                        let mut pairs = url.query_pairs_mut();
                        for (name, value) in query {
                            if let Some(value) = value {
                                pairs.append_pair(name, value);
                            }
                        }
                        let page = (limit - items.len()).min(PAGE);
                        pairs.append_pair("limit", &page.to_string());
                        if let Some(after) = &after {
                            pairs.append_pair("after", after);
                        }
                    }
                    let mut answer = get(&client, url).await?;
                    if let Some(page) = answer["items"].as_array_mut() {
                        items.append(page);
                    }
                    after = answer["next"].as_str().map(str::to_owned);
                    if after.is_none() || items.len() >= limit {
                        break;
                    }
                }
                all.append(&mut items);
            }
            Ok(all)
        })
    }

    /// One object; the first replica that has it answers.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        run(async {
            let client = client()?;
            let mut failure = None;
            for base in &self.urls {
                match get(&client, join(base, path)?).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure = Some(error),
                }
            }
            Err(failure.unwrap_or_else(|| Failure::Usage("no --admin given".to_owned())))
        })
    }

    /// Posts to every replica and gives their answers.
    pub fn post(&self, path: &str, body: &Value) -> Result<Vec<Value>, Failure> {
        run(async {
            let client = client()?;
            let mut answers = Vec::new();
            for base in &self.urls {
                let url = join(base, path)?;
                let answer = client.post(url.clone()).json(body).send().await;
                answers.push(read(&url, answer).await?);
            }
            Ok(answers)
        })
    }
}

fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(&error))?
        .block_on(work)
}

fn client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        // The admin API is on this machine or behind a port-forward to it.
        .no_proxy()
        // It speaks plain HTTP: an image without certificates is good enough.
        .tls_certs_only([])
        .build()
        .map_err(|error| Failure::from_error(&error))
}

fn join(base: &Url, path: &str) -> Result<Url, Failure> {
    base.join(path)
        .map_err(|error| Failure::Usage(format!("--admin {base}: {error}")))
}

async fn get(client: &reqwest::Client, url: Url) -> Result<Value, Failure> {
    let answer = client.get(url.clone()).send().await;
    read(&url, answer).await
}

/// The JSON of a good answer; of a bad one what its problem document says.
async fn read(url: &Url, answer: reqwest::Result<reqwest::Response>) -> Result<Value, Failure> {
    let at = url.origin().ascii_serialization();
    let answer = answer.map_err(|error| match error.is_connect() {
        true => Failure::Failed(format!(
            "nothing answers at {at}: is `tidegate dev` running, or the port-forward open? \
             --admin URL names another address"
        )),
        false => Failure::from_error(&error),
    })?;
    let status = answer.status();
    let body = answer
        .bytes()
        .await
        .map_err(|error| Failure::from_error(&error))?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let detail = value["detail"].as_str().unwrap_or("no detail");
        return Err(Failure::Failed(format!("{at} answered {status}: {detail}")));
    }
    Ok(value)
}
