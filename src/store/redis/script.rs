//! The scripts, and one call of one: a shard's keys begin with `KEYS[1]`, everything else is an argument.
//!
//! The scripts build the names of keys themselves, all with the shard's hash tag: a batch names hundreds. Redis allows it, in a cluster
//! as well; what insists on declared keys does not carry this store.

use redis::Cmd;

use crate::store::meters::CommandKind;

/// A script and the hash Redis knows it by.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    hash: String,
    pub(super) kind: CommandKind,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        Self::of_kind(CommandKind::Script, text)
    }

    fn of_kind(kind: CommandKind, text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned(), kind }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Scripts {
    pub append: Script,
    pub settle: Script,
    pub requeue: Script,
    pub repair: Script,
    pub standing: Script,
    pub forget: Script,
    pub drop: Script,
    pub bury: Script,
    pub counts: Script,
    pub parked: Script,
    pub directory: Script,
    pub restore: Script,
    pub each: Script,
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            append: Script::of_kind(CommandKind::Append, include_str!("lua/append.lua")),
            settle: Script::of_kind(CommandKind::Settle, include_str!("lua/settle.lua")),
            requeue: Script::new(include_str!("lua/requeue.lua")),
            repair: Script::new(include_str!("lua/repair.lua")),
            standing: Script::new(include_str!("lua/standing.lua")),
            forget: Script::new(include_str!("lua/forget.lua")),
            drop: Script::new(include_str!("lua/drop.lua")),
            bury: Script::new(include_str!("lua/bury.lua")),
            counts: Script::new(include_str!("lua/counts.lua")),
            parked: Script::new(include_str!("lua/parked.lua")),
            directory: Script::new(include_str!("lua/directory.lua")),
            restore: Script::new(include_str!("lua/restore.lua")),
            each: Script::new(include_str!("lua/each.lua")),
        }
    }
}

/// Arguments of one call, packed one behind the other.
#[derive(Debug, Default)]
pub struct Call {
    base: Vec<u8>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Call {
    pub fn new(base: &str) -> Self {
        Self { base: base.as_bytes().to_vec(), bytes: Vec::new(), ends: Vec::new() }
    }

    pub fn arg(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.arg(number.to_string().as_bytes())
    }

    /// The number of arguments.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn extend(&mut self, other: &Self) -> &mut Self {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command =
            Cmd::with_capacity(4 + self.ends.len(), 64 + script.len() + self.base.len() + self.bytes.len());
        command.arg(name).arg(script).arg(1).arg(&self.base[..]);
        let mut start = 0;
        for end in &self.ends {
            command.arg(&self.bytes[start..*end]);
            start = *end;
        }
        command
    }

    pub(super) fn by_hash(&self, script: &Script) -> Cmd {
        self.command("EVALSHA", &script.hash)
    }

    pub(super) fn whole(&self, script: &Script) -> Cmd {
        self.command("EVAL", script.text)
    }
}
