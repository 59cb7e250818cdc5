//! From a store to lines.

use std::io::Write;

use futures_util::TryStreamExt as _;

use super::line::{Blob, Header, Line, SettingLine};
use super::seal::SealedWriter;
use super::{MigrateError, Totals, VERSION};
use crate::domain::Timestamp;
use crate::store::moving::{ADMIN_DIGEST_SETTING, DeliveryRecord, JWT_KEY_SETTING, Record, UNFINISHED_MOVE_SETTING};
use crate::store::{Next, Store};

/// Lines of the directory between two seals.
const PAGE_LINES: usize = 256;
/// What of the process itself moves: tokens go on working.
pub const SETTINGS: [&str; 2] = [JWT_KEY_SETTING, ADMIN_DIGEST_SETTING];

/// How to export.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// Where it comes from, for people.
    pub from: String,
    /// Deliveries that have lost their event are left out instead of refused.
    pub force: bool,
}

impl Totals {
    pub(super) fn count(&mut self, deliveries: &[DeliveryRecord]) {
        self.events += 1;
        for delivery in deliveries {
            match delivery.standing {
                Next::Move(_) => self.waiting += 1,
                Next::Dead(_) => self.dead += 1,
                Next::Delivered | Next::Superseded { .. } | Next::Cancelled => self.finished += 1,
            }
        }
    }
}

/// Writes everything `store` holds; nobody may write to it meanwhile.
///
/// # Errors
/// What the store or `to` say; [`MigrateError::WithoutEvent`]: then what was written has no end and is refused by an import.
pub async fn export(store: &dyn Store, to: impl Write, how: &Export) -> Result<Totals, MigrateError> {
    if store.setting(UNFINISHED_MOVE_SETTING).await?.is_some_and(|mark| !mark.is_empty()) {
        return Err(MigrateError::Unfinished);
    }
    let mut to = SealedWriter::new(to);
    let mut totals = Totals::default();
    let (from, program) = (how.from.clone(), env!("CARGO_PKG_VERSION").to_owned());
    let header = Header { version: VERSION, from, program, written_at: Timestamp::now() };
    to.line(&Line::Pombo(header).encode())?;
    to.seal()?;

    let directory = store.directory().await?;
    totals.businesses = directory.businesses.len() as u64;
    totals.instances = directory.instances.len() as u64;
    totals.webhooks = directory.webhooks.len() as u64;
    let mut lines: Vec<Line> = Vec::new();
    for name in SETTINGS {
        let Some(value) = store.setting(name).await? else { continue };
        lines.push(Line::Setting(SettingLine { name: name.to_owned(), value: Blob::from(&value[..]) }));
        totals.settings += 1;
    }
    lines.extend(directory.businesses.into_iter().map(|one| Line::Business(Box::new(one))));
    lines.extend(directory.instances.into_iter().map(|one| Line::Instance(Box::new(one))));
    lines.extend(directory.webhooks.into_iter().map(|one| Line::Webhook(Box::new(one))));
    for page in lines.chunks(PAGE_LINES) {
        page.iter().try_for_each(|line| to.line(&line.encode()))?;
        to.seal()?;
    }

    let mut pages = store.records();
    while let Some(page) = pages.try_next().await? {
        if page.is_empty() {
            continue;
        }
        for record in page {
            let line = match record {
                Record::Event(event) => {
                    totals.count(&event.deliveries);
                    Line::Event(Box::new((&event).into()))
                }
                Record::Message(message) => {
                    totals.messages += message.states.len() as u64;
                    Line::Message(message.into())
                }
            };
            to.line(&line.encode())?;
        }
        to.seal()?;
    }
    drop(pages);

    let held = store.stats();
    let (waiting, dead) = (held.unfinished.saturating_sub(totals.waiting), held.dead.saturating_sub(totals.dead));
    if (waiting, dead) != (0, 0) && !how.force {
        return Err(MigrateError::WithoutEvent { waiting, dead });
    }
    to.line(&Line::End(totals).encode())?;
    to.seal()?;
    to.finish()?;
    Ok(totals)
}
