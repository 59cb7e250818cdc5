//! The same question to many shards: what is asked every few seconds should be one command, not one for each shard.
//!
//! On a Redis Cluster a call cannot span slots: there each shard is asked by itself, all at once.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::answer::list;
use super::script::Call;
use super::shared::Shared;
use super::url::Place;
use crate::domain::ShardId;
use crate::store::StoreError;

impl Shared {
    /// Answers in the order of `shards`. `words` makes a command that only reads.
    pub async fn ask_each(
        &self,
        shards: &[ShardId],
        words: impl Fn(ShardId) -> Vec<Vec<u8>>,
    ) -> Result<Vec<Value>, StoreError> {
        let Some(first) = shards.first() else { return Ok(Vec::new()) };
        if matches!(self.config.url.place, Place::Cluster(_)) {
            let words = &words;
            let asked = shards.iter().map(|shard| async move {
                let mut command = Cmd::new();
                command.arg(words(*shard));
                self.link.run(&command).await
            });
            return try_join_all(asked).await;
        }
        let mut call = Call::new(self.keys.base(*first));
        for shard in shards {
            let words = words(*shard);
            call.number(words.len() as u64);
            for word in &words {
                call.arg(word);
            }
        }
        list(self.link.call(&self.scripts.each, &call).await?)
    }
}

/// A command's words.
pub fn words<const N: usize>(words: [&[u8]; N]) -> Vec<Vec<u8>> {
    words.map(<[u8]>::to_vec).to_vec()
}
