//! Businesses, instances and webhooks of a scenario, through the engine's own API.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use serde_json::{Map, Value, json};

use crate::client::Client;

/// Each creation waits for its commit; together they ride on common ones.
const CONNECTIONS: usize = 16;

/// An instance as the generator addresses it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    pub webhooks: Vec<String>,
}

fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    answer[field].as_str().map(str::to_owned).with_context(|| format!("an answer without {field}"))
}

/// Creates `count` instances; `webhooks` gives the fields of the webhooks of one of them, by its index.
pub fn set_up(
    engine: SocketAddr,
    token: &str,
    count: usize,
    webhooks: &(impl Fn(usize) -> Vec<Map<String, Value>> + Sync),
) -> anyhow::Result<Vec<Instance>> {
    let business: Value =
        Client::connect(engine, token)?.call("POST", "/api/v2/admin/business", &json!({"name": "Load"}))?;
    let business = text(&business, "businessId")?;
    let create = |indexes: Vec<usize>| -> anyhow::Result<Vec<(usize, Instance)>> {
        let mut client = Client::connect(engine, token)?;
        let instance = |index: usize| {
            let name = format!("load-{index}");
            let path = format!("/api/v2/business/{business}/instance");
            let made: Value = client.call("POST", &path, &json!({"instanceName": name, "externalId": name}))?;
            let id = text(&made, "instanceId")?;
            let path = format!("/api/v2/instance/{id}/webhook");
            let ids = webhooks(index).into_iter().map(|fields| {
                let made: Value = client.call("POST", &path, &Value::Object(fields))?;
                text(&made, "webhookId")
            });
            let webhooks = ids.collect::<anyhow::Result<_>>()?;
            Ok((index, Instance { id, webhooks }))
        };
        indexes.into_iter().map(instance).collect()
    };
    let mut made = std::thread::scope(|scope| {
        let parts = (0..CONNECTIONS.min(count)).map(|first| (first..count).step_by(CONNECTIONS).collect::<Vec<_>>());
        let threads: Vec<_> = parts.map(|indexes| scope.spawn(|| create(indexes))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?
    .concat();
    made.sort_unstable_by_key(|(index, _)| *index);
    Ok(made.into_iter().map(|(_, instance)| instance).collect())
}

/// `pause` or `resume` on every webhook.
pub fn each_webhook(engine: SocketAddr, token: &str, instances: &[Instance], action: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(engine, token)?;
    for instance in instances {
        for webhook in &instance.webhooks {
            let path = format!("/api/v2/instance/{}/webhook/{webhook}/{action}", instance.id);
            let _webhook: Value = client.call("POST", &path, &Value::Null)?;
        }
    }
    Ok(())
}
