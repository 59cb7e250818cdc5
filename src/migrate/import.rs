//! From lines to a store.

use std::io::BufRead;

use futures_util::TryStreamExt as _;

use super::export::SETTINGS;
use super::line::{Line, check_header};
use super::seal::SealedReader;
use super::{MigrateError, Totals};
use crate::store::moving::{Record, UNFINISHED_MOVE_SETTING};
use crate::store::{DirectoryChange, Store};

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct Import {
    /// Go on where an import of the same export was cut off.
    pub resume: bool,
    /// Add to what is in the store.
    pub force: bool,
}

/// Pages, understood.
struct Pages<R> {
    from: SealedReader<R>,
    /// What was read.
    totals: Totals,
    is_over: bool,
}

impl<R: BufRead> Pages<R> {
    /// Reads the first page.
    fn open(from: R) -> Result<Self, MigrateError> {
        let mut from = SealedReader::new(from);
        check_header(from.peek()?)?;
        from.page()?;
        Ok(Self { from, totals: Totals::default(), is_over: false })
    }

    fn next(&mut self) -> Result<Option<Page>, MigrateError> {
        let line = self.from.line();
        let Some(lines) = self.from.page()? else {
            return if self.is_over { Ok(None) } else { Err(MigrateError::Cut { line }) };
        };
        if self.is_over {
            return Err(MigrateError::Trailing { line: line + 1 });
        }
        let mut page = Page::default();
        for (number, text) in (line + 1..).zip(lines) {
            if self.is_over {
                return Err(MigrateError::Trailing { line: number });
            }
            self.understand(Line::decode(&text, number)?, number, &mut page)?;
        }
        Ok(Some(page))
    }

    fn understand(&mut self, line: Line, number: u64, page: &mut Page) -> Result<(), MigrateError> {
        let malformed = |text: String| MigrateError::Malformed { line: number, text };
        match line {
            Line::Pombo(_) => return Err(malformed("a second first line".into())),
            Line::Business(one) => {
                self.totals.businesses += 1;
                page.changes.push(DirectoryChange::PutBusiness(one));
            }
            Line::Instance(one) => {
                self.totals.instances += 1;
                page.changes.push(DirectoryChange::PutInstance(one));
            }
            Line::Webhook(one) => {
                self.totals.webhooks += 1;
                page.changes.push(DirectoryChange::PutWebhook(one));
            }
            Line::Setting(one) => {
                let name = SETTINGS.into_iter().find(|known| *known == one.name);
                let name = name.ok_or_else(|| malformed(format!("the setting {} is not known", one.name)))?;
                self.totals.settings += 1;
                page.settings.push((name, one.value.bytes().map_err(malformed)?));
            }
            Line::Event(event) => {
                let event = event.record().map_err(malformed)?;
                self.totals.count(&event.deliveries);
                page.records.push(Record::Event(event));
            }
            Line::Message(message) => {
                let message = message.record().map_err(malformed)?;
                self.totals.messages += message.states.len() as u64;
                page.records.push(Record::Message(message));
            }
            Line::End(totals) => {
                if totals != self.totals {
                    return Err(malformed(format!("it counts {totals}, there were {}", self.totals)));
                }
                self.is_over = true;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Page {
    changes: Vec<DirectoryChange>,
    settings: Vec<(&'static str, Vec<u8>)>,
    records: Vec<Record>,
}

/// Reads all of an export and writes nothing.
///
/// # Errors
/// When it is damaged, cut off, of a newer format, or no export.
pub fn verify(from: impl BufRead) -> Result<Totals, MigrateError> {
    let mut pages = Pages::open(from)?;
    while pages.next()?.is_some() {}
    Ok(pages.totals)
}

/// Fills `store`; nobody may use it meanwhile. Until it has come to its end the store is marked as unfinished.
///
/// Answers what the export holds, and how many of its events were not in the store before.
///
/// # Errors
/// As [`verify`]; when the store is not empty and nothing was said about it; what the store says.
pub async fn import(store: &dyn Store, from: impl BufRead, how: Import) -> Result<(Totals, u64), MigrateError> {
    let mut pages = Pages::open(from)?;
    let is_unfinished = store.setting(UNFINISHED_MOVE_SETTING).await?.is_some_and(|mark| !mark.is_empty());
    let is_empty = !is_unfinished && is_empty(store).await?.is_none();
    if !how.force {
        match (is_unfinished, how.resume) {
            (true, false) => return Err(MigrateError::Unfinished),
            (true, true) => {}
            (false, _) => is_empty_or_told(store).await?,
        }
    }
    store.put_setting(UNFINISHED_MOVE_SETTING, b"1".to_vec()).await?;
    let mut taken = 0;
    while let Some(page) = pages.next()? {
        for (name, value) in page.settings {
            store.put_setting(name, value).await?;
        }
        if !page.changes.is_empty() {
            store.change_directory(page.changes).await?;
        }
        if !page.records.is_empty() {
            taken += store.restore(page.records).await?;
        }
    }
    store.flush().await?;
    if is_empty {
        check(store, &pages.totals).await?;
    }
    store.put_setting(UNFINISHED_MOVE_SETTING, Vec::new()).await?;
    Ok((pages.totals, taken))
}

async fn is_empty_or_told(store: &dyn Store) -> Result<(), MigrateError> {
    is_empty(store).await?.map_or(Ok(()), |held| Err(MigrateError::NotEmpty(held)))
}

/// What is there; settings alone are what a first start leaves.
async fn is_empty(store: &dyn Store) -> Result<Option<String>, MigrateError> {
    let directory = store.directory().await?;
    let (businesses, instances, webhooks) =
        (directory.businesses.len(), directory.instances.len(), directory.webhooks.len());
    if businesses + instances + webhooks > 0 {
        return Ok(Some(format!("{businesses} businesses, {instances} instances and {webhooks} webhooks")));
    }
    let mut pages = store.records();
    while let Some(page) = pages.try_next().await? {
        if !page.is_empty() {
            return Ok(Some("events".into()));
        }
    }
    Ok(None)
}

/// The store counts what it was given.
async fn check(store: &dyn Store, totals: &Totals) -> Result<(), MigrateError> {
    let lanes = store.active_lanes().await?;
    let waiting: u64 = lanes.iter().map(|(_, counts)| counts.unfinished()).sum();
    let dead = store.stats().dead;
    if (waiting, dead) == (totals.waiting, totals.dead) {
        return Ok(());
    }
    let told = |waiting: u64, dead: u64| format!("{waiting} waiting and {dead} dead deliveries");
    Err(MigrateError::Differs { wanted: told(totals.waiting, totals.dead), found: told(waiting, dead) })
}
