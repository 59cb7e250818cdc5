//! A receiver that behaves, and keeps what came: the one of `pombo listen`, with a record.

use std::sync::Arc;

use parking_lot::Mutex;
use pombo::commands::listen::{Ledger, Receipt, Receiver, ReceiverConfig, Script};

/// A running receiver with every request it got.
#[derive(Debug)]
pub struct Inbox {
    pub receiver: Receiver,
    pub ledger: Arc<Ledger>,
    receipts: Arc<Mutex<Vec<Receipt>>>,
}

impl Inbox {
    /// On a free port, answering 200.
    pub async fn open() -> Self {
        Self::with(Script::default()).await
    }

    pub async fn with(script: Script) -> Self {
        Self::at(0, script).await
    }

    pub async fn at(port: u16, script: Script) -> Self {
        let (ledger, receipts) = (Arc::new(Ledger::default()), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&receipts);
        let config = ReceiverConfig {
            script,
            seed: 7,
            ledger: Some(Arc::clone(&ledger)),
            watcher: Some(Arc::new(move |receipt: &Receipt| kept.lock().push(receipt.clone()))),
            ..ReceiverConfig::default()
        };
        let receiver = Receiver::start(([127, 0, 0, 1], port).into(), config).await.expect("a free port");
        Self { receiver, ledger, receipts }
    }

    pub fn url(&self, path: &str) -> String {
        self.receiver.url(path)
    }

    /// Everything so far, in the order of arrival.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.receipts.lock().clone()
    }

    pub fn len(&self) -> usize {
        self.receipts.lock().len()
    }
}
